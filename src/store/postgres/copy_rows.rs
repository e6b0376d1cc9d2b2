//! Rows on their way into a COPY in its binary form, written into one buffer as they go over the wire: for
//! millions of rows, where a value boxed for each field costs more than the row.

use bytes::{BufMut, Bytes, BytesMut};
use rust_decimal::Decimal;
use tokio_postgres::types::{ToSql, Type};

use super::unreadable;
use crate::stream::ServiceError;

/// Bytes that go out at once.
const CHUNK: usize = 1 << 18;
/// The signature of the form, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A field of a row, or several, as they go over the wire.
#[derive(Debug, Clone)]
pub(super) struct Encoded(Vec<u8>);

/// The buffer.
#[derive(Debug)]
pub(super) struct Rows {
    buffer: BytesMut,
    /// An amount of nothing, which most amounts are.
    zero: Encoded,
}

fn numeric(amount: Decimal, into: &mut BytesMut) -> Result<(), ServiceError> {
    let begin = into.len();
    into.put_i32(0);
    amount.to_sql(&Type::NUMERIC, into).map_err(unreadable)?;
    let length = into.len().saturating_sub(begin).saturating_sub(4);
    let length = i32::try_from(length).map_err(unreadable)?.to_be_bytes();
    let slot = into.get_mut(begin..).and_then(|rest| rest.first_chunk_mut::<4>());
    if let Some(slot) = slot {
        *slot = length;
    }
    Ok(())
}

impl Rows {
    /// Begins with the header.
    pub(super) fn new() -> Result<Self, ServiceError> {
        let mut zero = BytesMut::new();
        numeric(Decimal::ZERO, &mut zero)?;
        let mut buffer = BytesMut::with_capacity(CHUNK);
        buffer.put_slice(HEADER);
        Ok(Self { buffer, zero: Encoded(zero.to_vec()) })
    }

    /// The beginning of rows of so many fields, of which the first are these texts.
    pub(super) fn head(fields: i16, texts: &[&str]) -> Result<Encoded, ServiceError> {
        let mut head = BytesMut::new();
        head.put_i16(fields);
        for text in texts {
            head.put_i32(i32::try_from(text.len()).map_err(unreadable)?);
            head.put_slice(text.as_bytes());
        }
        Ok(Encoded(head.to_vec()))
    }

    pub(super) fn put(&mut self, encoded: &Encoded) {
        self.buffer.put_slice(&encoded.0);
    }

    pub(super) fn int2(&mut self, value: i16) {
        self.buffer.put_i32(2);
        self.buffer.put_i16(value);
    }

    pub(super) fn int4(&mut self, value: i32) {
        self.buffer.put_i32(4);
        self.buffer.put_i32(value);
    }

    pub(super) fn int8(&mut self, value: i64) {
        self.buffer.put_i32(8);
        self.buffer.put_i64(value);
    }

    pub(super) fn numeric(&mut self, amount: Decimal) -> Result<(), ServiceError> {
        if amount.is_zero() {
            self.buffer.put_slice(&self.zero.0);
            return Ok(());
        }
        numeric(amount, &mut self.buffer)
    }

    pub(super) fn text(&mut self, value: Option<&str>) -> Result<(), ServiceError> {
        match value {
            Some(text) => {
                self.buffer.put_i32(i32::try_from(text.len()).map_err(unreadable)?);
                self.buffer.put_slice(text.as_bytes());
            }
            None => self.buffer.put_i32(-1),
        }
        Ok(())
    }

    /// What is to go out now, if it is enough.
    pub(super) fn full(&mut self) -> Option<Bytes> {
        (self.buffer.len() >= CHUNK).then(|| self.buffer.split().freeze())
    }

    /// The rest, with the end of the form.
    pub(super) fn end(mut self) -> Bytes {
        self.buffer.put_i16(-1);
        self.buffer.freeze()
    }
}
