//! Reading a body within its bounds, and the bound over all bodies together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;

/// The most that is reserved for a body because its head promises it, in bytes. What comes beyond
/// makes the buffer grow.
const PROMISE_MAX: usize = 256 * 1024;

/// How many bytes of bodies the edge holds, over all requests.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0) })
    }

    /// A lease over nothing yet.
    pub(super) fn lease(self: &Arc<Self>) -> Lease {
        Lease { budget: Arc::clone(self), held: 0 }
    }
}

/// The part of the budget that one request holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    budget: Arc<Budget>,
    held: usize,
}

impl Lease {
    /// Takes this many bytes more, if the budget has them.
    fn grow(&mut self, by: usize) -> bool {
        let limit = self.budget.limit;
        let taken = self.budget.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(by).filter(|sum| *sum <= limit)
        });
        if taken.is_ok() {
            self.held = self.held.saturating_add(by);
        }
        taken.is_ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is, or promises to be, longer than the limit.
    TooLarge,
    /// The edge holds as many bytes as it may.
    Overloaded,
    /// It did not end in time.
    Timeout,
    /// The connection broke, or the body is not framed as HTTP frames it.
    Broken,
}

/// Reads a body to its end. One that comes in one piece is not copied.
pub(super) async fn read<B>(
    body: &mut B,
    limit: usize,
    within: Duration,
    lease: &mut Lease,
) -> Result<Bytes, Cut>
where
    B: Body<Data = Bytes> + Unpin,
{
    let promised = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if promised > limit {
        return Err(Cut::TooLarge);
    }
    let reading = collect(body, limit, promised, lease);
    tokio::time::timeout(within, reading).await.unwrap_or(Err(Cut::Timeout))
}

async fn collect<B>(
    body: &mut B,
    limit: usize,
    promised: usize,
    lease: &mut Lease,
) -> Result<Bytes, Cut>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut only = Bytes::new();
    let mut joined: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        // Trailers carry nothing that a signature covers.
        let Ok(data) = frame.or(Err(Cut::Broken))?.into_data() else { continue };
        if lease.held.saturating_add(data.len()) > limit {
            return Err(Cut::TooLarge);
        }
        if !lease.grow(data.len()) {
            return Err(Cut::Overloaded);
        }
        match &mut joined {
            Some(joined) => joined.extend_from_slice(&data),
            None if only.is_empty() => only = data,
            None => {
                let room = promised.min(PROMISE_MAX).max(lease.held);
                let mut buffer = BytesMut::with_capacity(room);
                buffer.extend_from_slice(&only);
                buffer.extend_from_slice(&data);
                only = Bytes::new();
                joined = Some(buffer);
            }
        }
    }
    Ok(joined.map_or(only, BytesMut::freeze))
}

/// Reads and throws away the rest of a body that was answered before its end.
///
/// A server that closes with unread bytes makes the client's system throw the answer away, and the
/// sender sees a broken connection where it should see the reason.
pub(super) async fn discard<B>(mut body: B, limit: usize, within: Duration)
where
    B: Body<Data = Bytes> + Unpin,
{
    let reading = async {
        let mut seen: usize = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen = seen.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if seen > limit {
                break;
            }
        }
    };
    // Out of time means the same as the end: the connection is closed either way.
    tokio::time::timeout(within, reading).await.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, pin::Pin, task::Poll};

    use hyper::body::Frame;

    use super::*;

    /// A body that comes in these pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Pieces {
        fn new(pieces: &[&'static str]) -> Self {
            Self(pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect())
        }
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    async fn read_all(pieces: &[&'static str], limit: usize, budget: usize) -> Result<Bytes, Cut> {
        let budget = Budget::new(budget);
        let mut lease = budget.lease();
        let read = read(&mut Pieces::new(pieces), limit, Duration::MAX, &mut lease).await;
        drop(lease);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
        read
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let piece = "the whole body";
        let read = read_all(&["", piece], 100, 100).await.unwrap();
        assert_eq!(read.as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        assert_eq!(read_all(&["a", "", "b", "c"], 3, 3).await.unwrap(), "abc");
        assert_eq!(read_all(&[], 3, 3).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_body_ends_at_its_limit_and_at_the_common_one() {
        assert_eq!(read_all(&["ab", "cd"], 3, 100).await, Err(Cut::TooLarge));
        assert_eq!(read_all(&["ab", "cd"], 100, 3).await, Err(Cut::Overloaded));
    }
}
