//! Rank facts that come while somebody works: a program waits for those that it has not loaded, a close
//! is looked at again, and the facts of one plan are none of another's.

use std::sync::Arc;

use jiff::Timestamp;
use upline::{
    app::closing::{Found, prepare},
    clock::Clock,
    domain::{
        close::{Basis, Hold},
        commission::{RankSource, Run},
        digest::Digest,
        id::{Operator, OrderKey},
        order::{Fact, OrderEvent, Origin},
        plan::period::PeriodId,
    },
    sink::{CompanyCell, OrderBookSink, StoreTerms, ToLog},
    stage::{
        DeferReason, Judge, Verdict,
        commission::Commission,
        map::{Company, Terms},
        message::{Mapped, Trace, Validated},
    },
    store::postgres::{CloseOutcome, Closing, CompanyReader, RankDecision},
    stream::{Effect, ServiceError, Sink, memory::MemoryLog},
};

use crate::{
    ranks::{chain, knows, order, pays, plan},
    support::{
        World,
        closing::{self, LEVELS, commit, entries, journal_reaches, monthly, order_components},
        said, world,
    },
};

/// What a decision of staff-7 records.
fn decision<'a>(plan: &'a str, distributor: &'a str, from: &str) -> RankDecision<'a> {
    RankDecision {
        plan,
        distributor,
        rank: Some("gold"),
        source: RankSource::Forced { hold: Hold::AtLeast, until: None },
        raises_title: false,
        from: from.parse().unwrap(),
        by: "staff-7",
        why: "the fair",
    }
}

async fn loaded(world: &World) -> Company {
    let mut company = Company::default();
    CompanyReader::new(world.store()).catch_up(&mut company).await.unwrap();
    company
}

#[test]
fn a_program_without_the_facts_of_an_order_waits_for_them() {
    world("ranks_wait", async |world| {
        world.write_plan(&plan());
        let app = world.start().await;
        let store = world.store();
        let older = loaded(world).await;
        let decided = decision("field", "ABC123", "2026-02-01T00:00:00Z");
        assert_eq!(store.decide_rank(&decided).await.unwrap(), 1);
        // Facts of another plan are none of this one.
        assert_eq!(store.decide_rank(&RankDecision { plan: "q", ..decided }).await.unwrap(), 2);
        knows(world, &app, "1").await;
        let paid = order(1, "2026-02-05T10:00:00Z", "ABC123", "100.00");
        pays(world, &app, 1, &paid, &["ABC123 9.00"]).await;
        app.stop().await;

        let query = "SELECT order_key, calc_snapshot_json::text FROM upline.commission_run
                     WHERE order_id = '1'";
        let row = &world.rows(query).await[0];
        let run: Run = serde_json::from_str(row.get(1)).unwrap();
        assert_eq!(run.order.locks.ranks, Some(1));
        let current = loaded(world).await;
        assert_eq!(current.ranks.version().seq, 2);
        let trace = Trace::start(Timestamp::UNIX_EPOCH);
        let mapped = || Mapped { order: run.order.clone(), trace: trace.clone() };
        let judged = Commission::new(CompanyCell::new(older.clone())).judge(mapped());
        let Verdict::Defer(reason) = judged else { panic!("{judged:?}") };
        assert_eq!(reason, DeferReason::VersionNotLoaded);
        let judged = Commission::new(CompanyCell::new(current.clone())).judge(mapped());
        let Verdict::Emit(again) = judged else { panic!("{judged:?}") };
        assert_eq!(again.run, run, "the same facts give the same lines");

        let look_again = |company: Company| {
            let key = OrderKey::parse(row.get(0)).unwrap();
            let origin = Origin {
                delivery: "recheck".into(),
                topic: "recheck".into(),
                received_at: Timestamp::UNIX_EPOCH,
                digest: Digest::ZERO,
            };
            let event = OrderEvent { key, origin, fact: Fact::Recheck };
            let value = Validated { event, trace: trace.clone() };
            let book = OrderBookSink {
                store: Arc::new(world.store()),
                next: ToLog::new(Arc::new(MemoryLog::default())),
                company: CompanyCell::new(company),
                terms: StoreTerms { default: Terms::of_plan("field"), ..StoreTerms::default() },
                clock: Clock::of(|| Timestamp::UNIX_EPOCH),
            };
            async move { book.deliver(&[Effect { value, redelivered: false }]).await }
        };
        let mut behind = current.clone();
        behind.ranks = older.ranks.clone();
        let refused: ServiceError = look_again(behind).await.unwrap_err();
        assert!(refused.is_transient() && refused.chain().contains("not loaded"), "{refused:?}");
        look_again(current).await.unwrap();

        let altered = "ALTER TABLE upline.rank_fact DISABLE TRIGGER append_only;
            UPDATE upline.rank_fact SET rank = 'silver' WHERE seq = 1";
        world.execute(altered).await.unwrap();
        let reader = CompanyReader::new(world.store());
        let refused = reader.catch_up(&mut Company::default()).await.unwrap_err();
        assert!(refused.chain().contains("rank fact 1"), "{}", refused.chain());
        assert!(!refused.is_transient());
    });
}

#[test]
fn a_close_is_looked_at_again_if_a_rank_was_forced_meanwhile() {
    world("ranks_race", async |world| {
        world.write_plan(&plan());
        world.start().await.stop().await;
        let (store, now) = (world.store(), "2026-02-10T00:00:00Z".parse().unwrap());
        let january = PeriodId::parse("2026-01").unwrap();
        let prepared = async || match prepare(&store, &january, now, 0).await.unwrap() {
            Found::Open(prepared) => prepared,
            Found::Closed(_) => panic!("nobody has closed it"),
        };
        let by = Operator::parse("finance-7").unwrap();
        let mut before = prepared().await;
        let forced = decision("field", "ABC123", "2026-01-15T00:00:00Z");
        store.decide_rank(&RankDecision { plan: "q", ..forced }).await.unwrap();
        store.decide_rank(&forced).await.unwrap();
        // In force at the last instant of the period, and no longer in force then.
        let ends = |distributor: &'static str, until: &str| {
            let until = Some(until.parse().unwrap());
            let source = RankSource::Forced { hold: Hold::AtLeast, until };
            RankDecision { distributor, source, raises_title: true, ..forced }
        };
        store.decide_rank(&ends("11043", "2026-02-01T00:00:00Z")).await.unwrap();
        store.decide_rank(&ends("10090", "2026-01-31T23:59:59Z")).await.unwrap();
        for (known, outcome) in [(false, CloseOutcome::Outdated), (true, CloseOutcome::Sealed(1))] {
            if known {
                before = prepared().await;
            }
            let closing = Closing {
                basis: &before.basis,
                summary: "{}".to_owned(),
                members: &before.members(),
                carries: &before.carries(),
                entries: &before.entries(),
                placed: before.placed(),
                rank_bonuses: &before.rank_bonuses(),
                ranks: &before.rank_changes,
                by: &by,
                reason: None,
                now,
            };
            assert_eq!(store.commit_close(&closing).await.unwrap(), outcome);
        }
        let kept = "SELECT concat_ws(' ', distributor_id, paid_as, achieved)
                    FROM upline.period_member ORDER BY 1";
        let kept = world.rows(kept).await;
        let kept: Vec<&str> = kept.iter().map(|row| row.get(0)).collect();
        assert_eq!(kept, ["11043 gold gold", "ABC123 gold"], "also without volume");
        assert_eq!(before.rank_changes, [], "the numbers support nothing");
        assert_eq!(chain(world).await.len(), 4);
    });
}

#[test]
fn a_plan_without_ranks_closes_beside_the_facts_of_another_plan() {
    world("ranks_of_none", async |world| {
        world.write_plan(&monthly(&[], &[order_components(), LEVELS]));
        let app = world.start().await;
        let store = world.store();
        let sells = async |id, placed, referrer, price| {
            let order = closing::order(id, placed, "paid", referrer, price);
            world.client.deliver(app.http, &order).await;
            journal_reaches(world, i64::from(id)).await;
        };
        let of_another = decision("q", "11043", "2026-01-01T00:00:00Z");
        assert_eq!(store.decide_rank(&of_another).await.unwrap(), 1);
        sells(1, "2026-01-05T10:00:00Z", "ABC123", "100.00").await;
        sells(2, "2026-01-06T10:00:00Z", "11043", "200.00").await;
        let told = commit(world, "2026-01").await;
        assert!(told.contains("sealed by block"), "{told}");
        // 10 % of 100; 5 % of it and 15 % of 200 are of 10090 and 10001, who are not active.
        let january = ["levels distributor:11043 10.00", "levels breakage 35.00 not_active"];
        assert_eq!(entries(world, "2026-01").await, january);

        let decided = RankDecision { distributor: "10090", ..of_another };
        assert_eq!(store.decide_rank(&decided).await.unwrap(), 2);
        sells(3, "2026-02-05T10:00:00Z", "ABC123", "100.00").await;
        commit(world, "2026-02").await;
        assert_eq!(entries(world, "2026-02").await, ["levels breakage 15.00 not_active"]);

        let ranked = "SELECT count(*) FROM upline.period_member
                      WHERE paid_as IS NOT NULL OR achieved IS NOT NULL";
        assert_eq!(world.count(ranked).await, 0, "the other plan's ranks are none of this one");
        let hashes = chain(world).await;
        let bases = "SELECT basis::text FROM upline.period_close ORDER BY starts_at";
        let bases = world.rows(bases).await;
        let known = bases.iter().map(|row| serde_json::from_str::<Basis>(row.get(0)).unwrap());
        let known: Vec<_> = known.map(|basis| basis.ranks.map(|r| (r.seq, r.hash))).collect();
        // Each close knows the chain as far as it went then, and adds nothing to it.
        assert_eq!(known, [Some((1, hashes[0])), Some((2, hashes[1]))]);
        assert_eq!(hashes.len(), 2);
        for period in ["2026-01", "2026-02"] {
            said(&world.run(&["close", period, "--verify"]).await);
        }
        app.stop().await;
    });
}
