fn main() {
    kakashi::info!(user_id = 123);
}
