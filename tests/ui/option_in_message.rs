fn main() {
    let quantity = Some(7);
    kakashi::info!("filled {}", quantity);
}
