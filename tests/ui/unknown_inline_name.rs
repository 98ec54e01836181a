fn main() {
    kakashi::info!("filled {quantity}");
}
