fn main() {
    kakashi::info!("filled }");
}
