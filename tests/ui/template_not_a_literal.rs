fn main() {
    let text = String::from("listening");
    kakashi::info!(text);
}
