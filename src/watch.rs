//! Whether a directive of the filter with fields lets a record pass that nothing else does: a look at the record's fields.
#![forbid(unsafe_code)]

use crate::callsite::Callsite;
use crate::logger;
use crate::record::foreign::Foreign;
use crate::record::{MAX_VALUES, Record, Value};

/// Whether one lets the record pass that these bytes are, which is not of a shared lane.
pub(crate) fn lets_pass(bytes: &[u8]) -> bool {
    let record = Record::new(bytes);
    let Some(callsite) = Callsite::from_id(record.callsite) else { return false };
    let statement = callsite.statement();
    if statement.foreign {
        let foreign = Foreign::new(&record, false);
        return logger::lets_pass(callsite.level(), &[foreign.target], |name, value| {
            let context = record.context(false, statement.values);
            has(foreign.fields.clone().chain(context), name, value)
        });
    }
    let mut values = [Value::None; MAX_VALUES];
    record.values(false, statement.values, &mut values);
    // A logger goes by its name or by the module.
    let module = callsite.module_path();
    let target = logger::name(record.logger).unwrap_or(module);
    logger::lets_pass(callsite.level(), &[target, module], |name, value| {
        let own = statement
            .fields
            .iter()
            .filter_map(|field| Some((field.name.as_bytes(), *values.get(usize::from(field.value))?)));
        has(own.chain(record.context(false, statement.values)), name, value)
    })
}

fn has<'a>(mut fields: impl Iterator<Item = (&'a [u8], Value<'a>)>, name: &str, value: Option<&str>) -> bool {
    fields.any(|(known, found)| {
        known == name.as_bytes() && value.is_none_or(|value| is_shown_as(&found, value))
    })
}

/// Whether a value stands as `text` in a line, or is the number that this is.
fn is_shown_as(value: &Value<'_>, text: &str) -> bool {
    let number = |value: f64| text.parse() == Ok(value);
    let digits = |digits: &[u8]| {
        digits == text.as_bytes()
            || core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).is_some_and(number)
    };
    match *value {
        Value::None => text == "null" || text == "None",
        Value::Bool(value) => text.parse() == Ok(value),
        Value::Char(value) => text.parse() == Ok(value),
        Value::Unsigned(value) => text.parse() == Ok(value) || number(value as f64),
        Value::Signed(value) => text.parse() == Ok(value) || number(value as f64),
        Value::Unsigned128(value) => text.parse() == Ok(value),
        Value::Signed128(value) => text.parse() == Ok(value),
        Value::F32(value) => text.parse() == Ok(value),
        Value::F64(value) => number(value),
        Value::Number(text) | Value::Wide(text) | Value::PlainFloat(text) | Value::Float(text) => {
            digits(text)
        }
        Value::Text { bytes, .. } => bytes == text.as_bytes(),
        Value::Damaged => false,
    }
}
