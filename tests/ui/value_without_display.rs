struct Order;

fn main() {
    kakashi::info!("filled {}", Order);
    kakashi::info!("filled", order = Order);
}
