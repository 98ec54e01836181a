fn main() {
    kakashi::info!("filled {}", user_id = 1, 7);
}
