fn main() {
    kakashi::info!("{} of {}", 1);
}
