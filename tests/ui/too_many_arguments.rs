fn main() {
    let filled = 7;
    kakashi::info!("order {}", 1, filled);
}
