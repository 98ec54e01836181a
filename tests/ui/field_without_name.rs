fn main() {
    let state = Some(1);
    kakashi::info!("state", ?state);
}
