//! Delivering a batch so that one bad effect cannot hold up the good ones.

use super::{Effect, Fate, ServiceError, Sink};
use crate::stage::{RejectCode, Rejection};

/// Delivers effects as one batch. A batch that the sink refuses is halved until the bad effect is
/// alone, and that one is rejected; the others get through in order.
///
/// The error is always a transient one: nothing of the rest was judged, all of it comes again.
/// The fates that were settled before the outage are returned beside it.
pub async fn deliver_isolating<T, S>(
    sink: &S,
    mut effects: Vec<Effect<T>>,
) -> (Vec<Fate>, Option<ServiceError>)
where
    T: Send + Sync + 'static,
    S: Sink<T>,
{
    let mut fates = Vec::with_capacity(effects.len());
    let whole = 0..effects.len();
    let mut stack = vec![whole];
    while let Some(range) = stack.pop() {
        let part = effects.get_mut(range.clone()).unwrap_or_default();
        if part.is_empty() {
            continue;
        }
        match sink.deliver(part).await {
            Ok(settled) => fates.extend(settled),
            Err(error) if error.is_transient() => return (fates, Some(error)),
            Err(error) if part.len() == 1 => {
                let reason = Rejection::new(RejectCode::Refused, "$", error.chain());
                fates.push(Fate::Rejected(reason));
            }
            Err(_refused) => {
                // A sink that writes and then publishes may have written: what it finds written it
                // must publish, not skip.
                for effect in part.iter_mut() {
                    effect.redelivered = true;
                }
                let middle = range.start.saturating_add(part.len().div_euclid(2));
                stack.push(middle..range.end);
                stack.push(range.start..middle);
            }
        }
    }
    (fates, None)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    /// Takes every number but those in `bad`; fails for good at `outage`.
    struct Picky {
        bad: Vec<u32>,
        outage: Option<u32>,
        taken: Mutex<Vec<u32>>,
    }

    impl Sink<u32> for Picky {
        async fn deliver(&self, effects: &[Effect<u32>]) -> Result<Vec<Fate>, ServiceError> {
            if effects.iter().any(|e| Some(e.value) == self.outage) {
                return Err(ServiceError::Unavailable { service: "test", source: "down".into() });
            }
            if effects.iter().any(|e| self.bad.contains(&e.value)) {
                return Err(ServiceError::Refused { service: "test", source: "bad".into() });
            }
            self.taken.lock().unwrap().extend(effects.iter().map(|e| e.value));
            Ok(effects.iter().map(|_| Fate::Delivered).collect())
        }
    }

    proptest! {
        #[test]
        fn every_good_effect_gets_through_in_order_and_every_bad_one_is_named(
            total in 0u32..60, bad in prop::collection::vec(0u32..60, 0..6),
            outage in prop::option::of(0u32..60),
        ) {
            let sink = Picky { bad, outage, taken: Mutex::default() };
            let effects = (0..total).map(|value| Effect { value, redelivered: false }).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (fates, error) = runtime.block_on(deliver_isolating(&sink, effects));
            let hit = outage.is_some_and(|at| at < total);
            prop_assert_eq!(error.is_some(), hit);
            for (value, fate) in (0u32..).zip(&fates) {
                let rejected = matches!(fate, Fate::Rejected(_));
                prop_assert_eq!(rejected, sink.bad.contains(&value));
            }
            if !hit {
                prop_assert_eq!(fates.len(), usize::try_from(total).unwrap());
            }
            let good: Vec<u32> =
                (0..).take(fates.len()).filter(|v| !sink.bad.contains(v)).collect();
            prop_assert_eq!(&*sink.taken.lock().unwrap(), &good);
        }
    }
}
