fn main() {
    kakashi::info!("filled {:width$}", 7, width = "9");
}
