//! The messages for mistakes in log statements. To renew them: `TRYBUILD=overwrite cargo test --test macros_ui`.

#[test]
fn mistakes_in_log_statements_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
