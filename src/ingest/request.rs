//! One request, from its head to its answer.
//!
//! The order of the checks: path, shop, presence of a signature, room for the shop, length, body,
//! signature, room again, log.
//! What can be refused without the body is refused without it.
//!
//! Invariant: from the moment that a delivery is verified it belongs to a task of its own. A client
//! that hangs up, at which the server drops everything that works for its connection, therefore
//! neither stops a publish half way nor escapes the count.

use std::{error::Error, sync::Arc, thread, time::Duration, time::Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
    header,
    http::request::Parts,
};
use jiff::Timestamp;

use super::{
    Envelope, Intake, IntakeError, Observer, Outcome, Reason,
    admission::{Comeback, Permit, Refusal, Slot, seed},
    answer::Answer,
    body::{self, Cut, Lease},
    directory::{Caller, Claim, Endpoint},
    route::{self, Form, Misroute, Route},
    server::Shared,
    signature::{self, Disbelief},
    transport::{self, Transport},
};
use crate::{
    clock::{seconds, seconds_between},
    domain::{
        digest::Digest,
        id::{Platform, StoreId},
    },
};

/// How long the rest of a refused body is read for, so that the client gets to see the answer.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(3);

/// Counts a request exactly once: when it is finished, or else when it is dropped.
struct Tally<O: Observer> {
    observer: Arc<O>,
    platform: &'static str,
    started: Instant,
    open: bool,
}

impl<O: Observer> Tally<O> {
    fn start(observer: Arc<O>) -> Self {
        Self { observer, platform: "none", started: Instant::now(), open: true }
    }

    fn finish(mut self, outcome: Outcome) {
        self.count(outcome);
    }

    fn count(&mut self, outcome: Outcome) {
        if self.open {
            self.open = false;
            let elapsed = seconds(self.started.elapsed());
            self.observer.webhook(self.platform, outcome, elapsed);
        }
    }
}

impl<O: Observer> Drop for Tally<O> {
    fn drop(&mut self) {
        let panicked = thread::panicking();
        self.count(if panicked { Outcome::Internal } else { Outcome::Aborted });
    }
}

/// Who a request says it is from, before its body is read.
enum Sender<'a> {
    /// A shop, with the proof that it offers.
    Shop { endpoint: &'a Endpoint, platform: Platform, event: &'a str, claim: Claim },
    /// `WooCommerce` without a signature, which the head allows to be a ping.
    Greeting,
    /// The holder of a token.
    Api { caller: &'a Caller, form: Form },
}

/// A sender as admission sees it.
#[derive(Clone, Copy)]
struct Standing<'a> {
    platform: Platform,
    store: &'a StoreId,
    slot: Slot,
    comeback: Comeback,
}

impl Sender<'_> {
    /// Its standing, if what it sends goes to the log.
    fn standing(&self) -> Option<Standing<'_>> {
        match self {
            Self::Greeting => None,
            Self::Shop { endpoint, platform, claim, .. } => Some(Standing {
                platform: *platform,
                store: &endpoint.store,
                slot: endpoint.slot,
                comeback: claim.comeback(*platform),
            }),
            Self::Api { caller, .. } => Some(Standing {
                platform: Platform::Api,
                store: &caller.store,
                slot: caller.slot,
                comeback: Comeback::Sure,
            }),
        }
    }
}

/// A delivery that has proved itself.
struct Verified {
    envelope: Envelope,
    /// Its place among those on their way to the log.
    permit: Option<Permit>,
    /// Given back when the answer is ready.
    lease: Lease,
    triggered_at: Option<Timestamp>,
}

impl<I: Intake, O: Observer> Shared<I, O> {
    /// Answers one request.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let mut tally = Tally::start(Arc::clone(&self.observer));
        let answer = match self.admit(&head, body, &mut tally).await {
            Ok(verified) => self.hand_over(verified, tally).await,
            Err(answer) => {
                tally.finish(answer.outcome());
                answer
            }
        };
        answer.into_response(head.version)
    }

    /// Reads and verifies a delivery. `Err` holds the answer of whatever goes no further, which
    /// pings and challenges do not either.
    async fn admit(
        &self,
        head: &Parts,
        mut body: Incoming,
        tally: &mut Tally<O>,
    ) -> Result<Verified, Answer> {
        let sender = match self.identify(head, tally) {
            Ok(sender) => sender,
            Err(answer) => {
                self.discard(head, body);
                return Err(answer);
            }
        };
        let limit = self.config.body_limit.get();
        let limit = match &sender {
            Sender::Greeting => transport::PING_MAX,
            Sender::Shop { claim, .. } => claim.body_max(limit),
            Sender::Api { .. } => limit,
        };
        if let Some(standing) = sender.standing()
            && let Err(answer) = self.peek(standing, head, &body, limit)
        {
            self.discard(head, body);
            return Err(answer);
        }
        let mut lease = self.budget.lease();
        let within = self.config.body_timeout;
        let bytes = match body::read(&mut body, limit, within, &mut lease).await {
            Ok(bytes) => bytes,
            Err(cut) => {
                if cut != Cut::Timeout {
                    self.discard(head, body);
                }
                let greeting = matches!(sender, Sender::Greeting);
                if let Some(standing) = sender.standing()
                    && cut == Cut::Overloaded
                {
                    self.observer.refused(standing.platform, standing.store, Reason::Bytes);
                }
                return Err(if greeting && cut == Cut::TooLarge {
                    unsigned(&head.headers)
                } else {
                    Answer::cut(cut, limit, within, self.config.retry_after)
                });
            }
        };
        self.verify(&sender, &head.headers, bytes, lease)
    }

    /// Whether there would be room for what the head announces, before any of it is read. What is too
    /// large is told so.
    fn peek(
        &self,
        standing: Standing<'_>,
        head: &Parts,
        body: &Incoming,
        limit: usize,
    ) -> Result<(), Answer> {
        let promised = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if promised > limit {
            return Ok(());
        }
        let Standing { slot, comeback, .. } = standing;
        self.admission.peek(Instant::now(), slot, comeback, promised).map_err(|refusal| {
            // The values name the delivery: its ids or its signature.
            let values = head.headers.values().map(header::HeaderValue::as_bytes);
            self.turn_away(standing, refusal, seed(values))
        })
    }

    /// The answer to a delivery that there is no room for.
    fn turn_away(&self, standing: Standing<'_>, refusal: Refusal, seed: u64) -> Answer {
        self.observer.refused(standing.platform, standing.store, refusal.reason);
        Answer::overloaded(refusal.retry_after(self.config.retry_after, seed))
    }

    /// Everything that the head alone decides.
    fn identify<'a>(&'a self, head: &'a Parts, tally: &mut Tally<O>) -> Result<Sender<'a>, Answer> {
        let route = route::route(&head.method, head.uri.path(), head.uri.query());
        let route = route.map_err(|misroute| {
            tally.platform = match misroute {
                Misroute::NotFound => "none",
                Misroute::Method { platform, .. } => platform.as_str(),
                Misroute::Event | Misroute::Challenge => Platform::Magento.as_str(),
            };
            Answer::misroute(misroute)
        })?;
        let platform = route.platform();
        tally.platform = platform.as_str();
        let shop = |name| {
            self.directory.shop(platform, name).ok_or_else(|| Answer::unknown_store(platform))
        };
        match route {
            Route::Challenge { store, challenge } => {
                shop(store)?;
                Err(Answer::challenge(challenge))
            }
            Route::Api { form } => match self.directory.bearer(&head.headers) {
                Ok(caller) => Ok(Sender::Api { caller, form }),
                Err(disbelief) => Err(Answer::disbelief(platform, disbelief)),
            },
            Route::Webhook { store, event, .. } => {
                let endpoint = shop(store)?;
                match endpoint.claimed(platform, &head.headers) {
                    Ok(claim) => Ok(Sender::Shop { endpoint, platform, event, claim }),
                    Err(Disbelief::Missing(_))
                        if platform == Platform::WooCommerce
                            && transport::may_be_ping(&head.headers) =>
                    {
                        Ok(Sender::Greeting)
                    }
                    Err(disbelief) => Err(self.refuse(endpoint, platform, disbelief)),
                }
            }
        }
    }

    /// Everything that the body decides.
    fn verify(
        &self,
        sender: &Sender<'_>,
        headers: &hyper::HeaderMap,
        body: Bytes,
        lease: Lease,
    ) -> Result<Verified, Answer> {
        let received_at = self.clock.now();
        let (platform, store, Transport { topic, key }, digest) = match sender {
            Sender::Greeting if transport::is_ping(headers, &body) => return Err(Answer::ping()),
            Sender::Greeting => return Err(unsigned(headers)),
            Sender::Shop { endpoint, platform, event, claim } => {
                endpoint
                    .verify(*platform, headers, &body, claim)
                    .map_err(|disbelief| self.refuse(endpoint, *platform, disbelief))?;
                let (store, digest) = (&endpoint.store, Digest::of(&body));
                let named = transport::webhook(*platform, store, event, headers, &digest);
                (*platform, store, named, digest)
            }
            Sender::Api { .. } if body.is_empty() => return Err(Answer::empty()),
            Sender::Api { caller: Caller { store, scope, .. }, form } => {
                if let Some(shop) = scope.trespass(form.topic(), &body) {
                    return Err(Answer::forbidden(store, &shop));
                }
                let digest = Digest::of(&body);
                (Platform::Api, store, transport::api(store, *form, headers, &digest), digest)
            }
        };
        let triggered_at = match platform {
            Platform::Shopify => transport::triggered_at(headers),
            Platform::WooCommerce | Platform::Magento | Platform::Api => None,
        };
        let permit = sender.standing().map(|standing| {
            let Standing { slot, comeback, .. } = standing;
            let taken = self.admission.take(Instant::now(), slot, comeback, body.len());
            taken.map_err(|refusal| self.turn_away(standing, refusal, seed([key.as_bytes()])))
        });
        let permit = permit.transpose()?;
        self.observer.body(platform.as_str(), body.len());
        let (store, delivery) = (store.clone(), key);
        let envelope = Envelope { platform, store, topic, delivery, received_at, digest, body };
        Ok(Verified { envelope, permit, lease, triggered_at })
    }

    /// The answer to a delivery that is not believed, and a line in the log now and then.
    fn refuse(&self, endpoint: &Endpoint, platform: Platform, disbelief: Disbelief) -> Answer {
        if endpoint.may_complain(self.clock.now()) {
            let store = endpoint.store.as_str();
            tracing::warn!(%platform, store, ?disbelief, "a delivery was refused by its signature");
        }
        Answer::disbelief(platform, disbelief)
    }

    /// Gives a verified delivery to the log, in a task that the connection does not own.
    async fn hand_over(self: &Arc<Self>, verified: Verified, tally: Tally<O>) -> Answer {
        let shared = Arc::clone(self);
        let task = self.tasks.spawn(async move { shared.deliver(verified, tally).await });
        task.await.unwrap_or_else(|error| {
            let panicked = error.is_panic();
            tracing::error!(panicked, "the hand-over of a delivery did not end");
            Answer::internal()
        })
    }

    async fn deliver(&self, verified: Verified, tally: Tally<O>) -> Answer {
        let Verified { envelope, permit, lease, triggered_at } = verified;
        let (platform, store, at) =
            (envelope.platform, envelope.store.clone(), envelope.received_at);
        let key = (platform == Platform::Api).then(|| envelope.delivery.clone());
        let accepting =
            tokio::time::timeout(self.config.accept_timeout, self.intake.accept(envelope));
        let accepted = match accepting.await {
            Ok(accepted) => accepted,
            Err(elapsed) => Err(IntakeError::Unavailable(elapsed.into())),
        };
        drop((permit, lease));
        let answer = match accepted {
            Ok(accepted) => {
                self.observer.source_seen(platform, &store, at);
                if let Some(triggered_at) = triggered_at {
                    let lag = seconds_between(triggered_at, at);
                    self.observer.source_lag(platform.as_str(), lag);
                }
                match key {
                    Some(key) => Answer::taken(accepted.duplicate, &key),
                    None => Answer::delivered(accepted.duplicate),
                }
            }
            Err(error) => {
                complain(platform, &store, &error);
                Answer::intake(&error, self.config.retry_after)
            }
        };
        tally.finish(answer.outcome());
        answer
    }

    /// Reads the rest of a refused body beside the answer. Not after `Expect: 100-continue`: that
    /// client waits, and reading would ask it to send.
    fn discard(&self, head: &Parts, body: Incoming) {
        if body.is_end_stream() || head.headers.contains_key(header::EXPECT) {
            return;
        }
        let limit = self.config.body_limit.get().saturating_mul(2);
        self.tasks.spawn(body::discard(body, limit, DISCARD_TIMEOUT));
    }
}

/// The answer to a form without a signature that is not a ping.
fn unsigned(headers: &hyper::HeaderMap) -> Answer {
    let name = signature::header(Platform::WooCommerce, headers);
    Answer::disbelief(Platform::WooCommerce, Disbelief::Missing(name))
}

/// Logs what the log said. Unavailable is a warning, for the sender comes again; a refusal is an
/// error, for the delivery is genuine and somebody has to act.
fn complain(platform: Platform, store: &StoreId, error: &IntakeError) {
    let cause: &(dyn Error + 'static) = error;
    match error {
        IntakeError::Refused(_) | IntakeError::TooLarge { .. } => {
            tracing::error!(%platform, %store, error = cause, "a delivery cannot be stored");
        }
        IntakeError::Unavailable(_) | IntakeError::Overloaded { .. } => {
            tracing::warn!(%platform, %store, error = cause, "a delivery is not stored yet");
        }
    }
}
