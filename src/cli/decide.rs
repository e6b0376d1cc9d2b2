//! `upline decide`: what only a person can say about an order.
//!
//! A decision is a fact of the order and goes the way of every other: it is published, joined, mapped,
//! and what it changes is posted as a correction. It is checked here first, so that nothing is decided
//! about what the order does not have.

use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{ArgGroup, Args};
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{block_on, explain, output, services};
use crate::{
    app,
    clock::Clock,
    config::{Config, Environment},
    domain::{
        commission::{Run, run as compute},
        id::{CommissionClass, DistributorId, LineId, Operator, OrderKey, Reason, RefundId, Sku},
        money::Money,
        order::{Decision, LineKind, OrderEvent, OrderState, Sells, Snapshot, Verdict},
    },
    stage::map::{Company, Mapping, Terms, WaitsFor, asked_customer, map},
    store::{
        Booked, Store,
        postgres::{CompanyReader, Postgres, Story},
    },
    stream::{Publish, jetstream::JetStream},
};

/// Arguments of `decide`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The order: `platform/store/id`, or just the platform's id.
    order: String,
    #[command(flatten)]
    what: What,
    /// Who decides: an account or a number of your staff, it stays in the calculation for ever.
    #[arg(long)]
    by: String,
    /// Why, in a line; without personal data of customers.
    #[arg(long)]
    why: String,
    /// Only show what the order would earn, or what it would still wait for.
    #[arg(long)]
    dry_run: bool,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is decided: about one subject.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("subject").required(true))]
#[command(group = ArgGroup::new("sells"))]
struct What {
    /// Decide what this line sells: with --class, --sku or --no-commission.
    #[arg(long, value_name = "LINE", group = "subject", requires = "sells")]
    line: Option<String>,
    /// The line earns as this commission class.
    #[arg(long, group = "sells", requires = "line")]
    class: Option<String>,
    /// The line sells this article of the company (its `sku_id`).
    #[arg(long, group = "sells", requires = "line")]
    sku: Option<String>,
    /// The line earns nothing.
    #[arg(long, group = "sells", requires = "line")]
    no_commission: bool,
    /// Decide how much a chargeback in another currency takes: with --takes.
    #[arg(long, value_name = "ID", group = "subject", requires = "takes")]
    chargeback: Option<String>,
    /// The amount with tax, in the order's currency; 0 takes nothing.
    #[arg(long, value_name = "AMOUNT", requires = "chargeback", allow_negative_numbers = true)]
    takes: Option<String>,
    /// This distributor referred the order, whatever it says itself.
    #[arg(long, value_name = "DISTRIBUTOR", group = "subject")]
    referrer: Option<String>,
    /// Nobody referred the order: the store's house account has it, or nobody earns.
    #[arg(long, group = "subject")]
    no_referrer: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let connected = services::connect(environment, "upline")?;
    let clock = Clock::system();
    block_on(async {
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
        let known = Known::read(&store, &arguments.order).await?;
        let decision = known.decision(arguments, &clock)?;
        if let Some(warning) = known.warning(&decision.verdict) {
            output::error(&format!("warning: {warning}"));
        }
        let event = app::decided(&known.key, decision.clone());
        if arguments.dry_run {
            let terms = app::terms_of(&Config::load(environment)?);
            let terms = Terms { plan: known.booked.plan.clone(), ..terms.of(&known.key).clone() };
            let trial = known.trial(&store, event, &terms).await?;
            show(&known.key, &decision, Some(&trial), arguments.json);
            return Ok(ExitCode::SUCCESS);
        }
        let prefix = environment.get("UPLINE_STREAM_PREFIX").unwrap_or_default();
        let log = JetStream::connect(connected.endpoints.nats.expose_secret(), prefix).await?;
        log.publish_all(vec![app::event_message(&event)?]).await?;
        show(&known.key, &decision, None, arguments.json);
        Ok(ExitCode::SUCCESS)
    })?
}

/// What is known of the order and of the company when somebody decides.
struct Known {
    key: OrderKey,
    story: Story,
    booked: Booked,
    company: Company,
}

impl Known {
    async fn read(books: &Postgres, order: &str) -> anyhow::Result<Self> {
        let mut found = books.stories(order).await?;
        let story = found.pop().with_context(|| format!("no order {order} is known"))?;
        if let Some(other) = found.first() {
            bail!("{order} is {} and {}: name one by its key", other.order, story.order);
        }
        let key = OrderKey::parse(&story.order)?;
        let mut loaded = books.load(std::slice::from_ref(&key)).await?;
        let booked = loaded.remove(&key).with_context(|| format!("no order {key} is known"))?;
        let mut company = Company::default();
        CompanyReader::new(books.clone()).catch_up(&mut company).await?;
        Ok(Self { key, story, booked, company })
    }

    fn state(&self) -> &OrderState {
        &self.booked.state
    }

    /// What the order waits for, as the end of an error.
    fn waits(&self) -> String {
        let waits = self.story.waits.iter().map(|w| format!("{} {}", w.kind, w.value));
        match waits.collect::<Vec<_>>() {
            none if none.is_empty() => format!("{} waits for nothing", self.key),
            some => format!("{} waits for {}", self.key, some.join(", ")),
        }
    }

    /// The decision, if it is about something that the order has.
    fn decision(&self, arguments: &Arguments, clock: &Clock) -> anyhow::Result<Decision> {
        let snapshot = self.state().snapshot.as_deref();
        let snapshot = snapshot.with_context(|| {
            format!("{} itself has not arrived yet, only what is said of it", self.key)
        })?;
        let what = &arguments.what;
        let verdict = if let Some(line) = &what.line {
            self.line(what, line, snapshot)?
        } else if let Some(id) = &what.chargeback {
            self.chargeback(id, what.takes.as_deref().unwrap_or_default(), snapshot)?
        } else {
            self.referrer(what.referrer.as_deref())?
        };
        // Later than what it overrules, whatever the clock of this machine says.
        let earlier = self.state().decisions.get(&verdict.subject()).map(|known| known.at);
        let after = earlier.map(|at| at.checked_add(SignedDuration::from_micros(1))).transpose()?;
        Ok(Decision {
            at: after.map_or_else(|| clock.now(), |after| after.max(clock.now())),
            by: Operator::parse(&arguments.by).context("--by")?,
            why: Reason::parse(&arguments.why).context("--why")?,
            verdict,
        })
    }

    fn line(&self, what: &What, line: &str, snapshot: &Snapshot) -> anyhow::Result<Verdict> {
        let id = LineId::parse(line).context("--line")?;
        let Some(line) = snapshot.lines.iter().find(|line| line.id == id) else {
            let lines: Vec<&str> = snapshot.lines.iter().map(|l| l.id.as_str()).take(50).collect();
            let lines = lines.join(", ");
            bail!("{} has no line {id}, only {lines}; {}", self.key, self.waits());
        };
        ensure!(
            line.kind == LineKind::Merchandise,
            "line {id} sells a gift card or is a tip: that never earns, so there is nothing to decide"
        );
        let sells = match (&what.class, &what.sku) {
            (Some(class), _) => Sells::Class(self.class(class, snapshot)?),
            (_, Some(sku)) => Sells::Article(self.article(sku, snapshot)?),
            (None, None) => Sells::NoCommission,
        };
        Ok(Verdict::Line { line: id, sells })
    }

    /// A class that the plan of the order pays for, or that some article has.
    fn class(&self, class: &str, snapshot: &Snapshot) -> anyhow::Result<CommissionClass> {
        let class = CommissionClass::parse(class).context("--class")?;
        let plans = &self.company.plans;
        let locked = self.booked.locks.as_ref().and_then(|locks| plans.get(&locks.plan));
        let plan = locked.or_else(|| plans.in_force(&self.booked.plan, snapshot.placed_at));
        let known = plan.is_some_and(|plan| plan.pays_for(&class));
        ensure!(
            known || self.company.catalog.has_class(&class),
            "no plan and no article knows the commission class {class}"
        );
        Ok(class)
    }

    fn article(&self, sku: &str, snapshot: &Snapshot) -> anyhow::Result<Sku> {
        let sku = Sku::parse(sku).context("--sku")?;
        let (platform, at) = (self.key.platform, snapshot.placed_at);
        let catalog = &self.company.catalog;
        if catalog.article(platform, &sku, at, u64::MAX).is_some() {
            return Ok(sku);
        }
        match catalog.resolve(platform, Some(&sku), None, at, u64::MAX) {
            Some(entry) => {
                bail!("{sku} is how {platform} calls it: the article is {}", entry.sku_id)
            }
            None => bail!(
                "no article {sku} is mapped for {platform} at the time of the order: import it \
                 with `upline import skus`, or decide the class"
            ),
        }
    }

    fn chargeback(&self, id: &str, takes: &str, of: &Snapshot) -> anyhow::Result<Verdict> {
        let id = RefundId::parse(id).context("--chargeback")?;
        let takes = Money::parse(takes).context("--takes")?;
        ensure!(!takes.is_negative(), "--takes is {takes}: write what is taken, 0 or more");
        let Some(chargeback) = self.state().chargebacks.get(&id) else {
            bail!("{} has no chargeback {id}; {}", self.key, self.waits());
        };
        ensure!(
            chargeback.currency != of.currency,
            "chargeback {id} is in {}, as the order is: it takes its amount without a decision; {}",
            of.currency,
            self.waits()
        );
        Ok(Verdict::Chargeback { chargeback: id, takes, currency: of.currency })
    }

    /// What is allowed and probably a slip of the hand.
    fn warning(&self, verdict: &Verdict) -> Option<String> {
        let (Verdict::Chargeback { takes, currency, .. }, Some(of)) =
            (verdict, self.state().snapshot.as_deref())
        else {
            return None;
        };
        let total = of.total;
        (*takes > total).then(|| {
            format!(
                "--takes {takes} {currency} is more than the order's total of {total} {currency}"
            )
        })
    }

    fn referrer(&self, referrer: Option<&str>) -> anyhow::Result<Verdict> {
        let distributor = referrer.map(DistributorId::parse).transpose().context("--referrer")?;
        if let Some(id) = &distributor {
            ensure!(
                self.company.genealogy.find(id).is_some(),
                "no distributor {id} is enrolled: `upline import distributors` enrols them"
            );
        }
        Ok(Verdict::Referrer { distributor })
    }

    /// What the order would come to with one more event, on the books as they are.
    async fn trial(
        &self,
        store: &Postgres,
        event: OrderEvent,
        terms: &Terms,
    ) -> anyhow::Result<Trial> {
        let state = self.state().clone().join(OrderState::of(event));
        let customer = state.snapshot.as_deref().and_then(|s| asked_customer(&self.key, s));
        let links = match &customer {
            Some(customer) => store.links(std::slice::from_ref(customer)).await?,
            None => crate::store::Links::new(),
        };
        let links = customer.and_then(|customer| links.get(&customer).cloned()).unwrap_or_default();
        let revision = self.booked.revision.saturating_add(1);
        let locks = self.booked.locks.as_ref();
        match map(&self.key, revision, &state, locks, &self.company, terms, &links) {
            Mapping::Ready(order) => {
                let plan = self.company.plans.get(&order.locks.plan);
                let plan = plan.context("the plan of the order is not in the books")?;
                let ranks = self.company.ranks.of(&plan.reference.id);
                Ok(Trial::Earns(Box::new(compute(*order, &self.company.genealogy, ranks, plan)?)))
            }
            Mapping::Parked(waits) => Ok(Trial::Waits(waits.into_iter().collect())),
            Mapping::NoOrderYet => bail!("no plan was in force when {} was placed", self.key),
        }
    }
}

/// What would become of an order.
enum Trial {
    Earns(Box<Run>),
    Waits(Vec<WaitsFor>),
}

fn show(key: &OrderKey, decision: &Decision, trial: Option<&Trial>, json: bool) {
    let Decision { verdict, by, .. } = decision;
    if json {
        let waits = |waits: &[WaitsFor]| {
            let one = |wait: &WaitsFor| {
                let (kind, value) = wait.parts();
                json!({ "kind": kind, "value": value })
            };
            waits.iter().map(one).collect::<Vec<_>>()
        };
        let (run, waits) = match trial {
            Some(Trial::Earns(run)) => (json!(run), json!([])),
            Some(Trial::Waits(list)) => (json!(null), json!(waits(list))),
            None => (json!(null), json!(null)),
        };
        let told = json!({
            "order": key.to_string(), "subject": verdict.subject(), "decision": decision,
            "sent": trial.is_none(), "run": run, "waits": waits,
        });
        output::line(&told.to_string());
        return;
    }
    match trial {
        None => output::line(&format!(
            "{key}: {verdict}, decided by {by}; `upline explain {key}` tells what became of it"
        )),
        Some(Trial::Earns(run)) => {
            output::line(&format!("if it were decided that {verdict}:\n{}", explain::explain(run)));
        }
        Some(Trial::Waits(waits)) => {
            let waits = waits.iter().map(|wait| {
                let (kind, value) = wait.parts();
                format!("{kind} {value}")
            });
            let waits = waits.collect::<Vec<_>>().join(", ");
            output::line(&format!(
                "if it were decided that {verdict}, {key} would wait for {waits}"
            ));
        }
    }
}
