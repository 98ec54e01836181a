fn main() {
    kakashi::info!("logged in", user_id = 1, user_id = 2);
}
