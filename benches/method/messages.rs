//! The messages that a channel is measured with.

/// A list of `$case!($channel, ...; NAME, NUMBER, STATEMENT)`, one for each message: what the statement logs depends
/// on the number only.
macro_rules! messages {
    ($case:ident, $channel:ident $(, $more:tt)*) => {
        [
            $case!($channel $(, $more)*; "static text", _i, kakashi::info!($channel, "static text")),
            $case!($channel $(, $more)*; "1 int", i, kakashi::info!($channel, "order {}", i)),
            $case!($channel $(, $more)*; "2 ints + double", i, kakashi::info!(
                $channel, "order {} filled {} @ {}", i, i * 7919, $crate::method::values::double(i)
            )),
            $case!($channel $(, $more)*; "2 ints + price", i, kakashi::info!(
                $channel, "order {} filled {} @ {}", i, i * 7919, $crate::method::values::price(i)
            )),
            $case!($channel $(, $more)*; "2 ints + 43-byte text", i, kakashi::info!(
                $channel, "order {} filled {} {}", i, i * 7919, std::hint::black_box($crate::method::values::TEXT)
            )),
            $case!($channel $(, $more)*; "4 fields", i, kakashi::info!(
                $channel, "filled", a = i, b = i * 7919, c = true, d = std::hint::black_box("buy")
            )),
            $case!($channel $(, $more)*; "{:>10.3}", i, kakashi::info!(
                $channel, "at {:>10.3}", $crate::method::values::double(i)
            )),
            $case!($channel $(, $more)*; "?Debug", i, kakashi::info!(
                $channel, "fill", fill = ?$crate::method::values::Fill { qty: i, side: "buy" }
            )),
        ]
    };
}

pub(crate) use messages;
