//! Periods around each other: one previewed before the one before it is closed, calendars that replace each
//! other, forced ranks that end, and ranks that an order is locked to.

use serde_json::{Value, json};
use upline::{
    app::closing::{Found, prepare},
    domain::{
        close::Hold,
        commission::{RankSource, Run},
        plan::{Plan, period::PeriodId},
    },
    sink::CompanyCell,
    stage::{
        DeferReason, Judge, Verdict,
        commission::Commission,
        map::Company,
        message::{Mapped, Trace},
    },
    store::postgres::{CompanyReader, RankDecision},
};

use crate::{
    moving::{PLAN, failed, founded, placed, sells},
    support::{
        World,
        closing::{commit, shown},
        said, world,
    },
};

async fn told(world: &World, distributor: &str, period: &str) -> Value {
    let output = world.run(&["explain", distributor, period, "--json"]).await;
    serde_json::from_str(&said(&output)).unwrap()
}

#[test]
fn a_period_is_previewed_as_if_those_before_it_closed_now() {
    world("moving_preview", async |world| {
        let app = placed(world).await;
        let now = |text: &str| text.parse().unwrap();
        let february = PeriodId::parse("2026-02").unwrap();
        sells(world, &app, (1, "2026-01-05T10:00:00Z", "paid", "ABC123", "100.00"), 1).await;
        // Nothing is closed yet: in the days before its cut-off January counts as open, later the first
        // period is the one that is asked for.
        for (at, assumes, uncounted) in
            [("2026-02-02T00:00:00Z", 1, 0), ("2026-02-04T00:00:00Z", 0, 1)]
        {
            let found = prepare(&world.store(), &february, now(at), 0).await.unwrap();
            let Found::Open(prepared) = found else { panic!("nobody has closed it") };
            assert_eq!((prepared.assumes.len(), prepared.uncounted), (assumes, uncounted), "{at}");
        }
        let text = said(&world.run(&["close", "2026-02"]).await);
        assert!(
            text.contains("FIRST PERIOD: no period of the plan is closed yet, and 1 volume"),
            "{text}"
        );
        commit(world, "2026-01").await;

        // In February 11043 gets the bonus for gold, 200 of the left leg wait, and all of ABC123 comes back, which
        // corrects January. In March all that goes on.
        sells(world, &app, (2, "2026-02-05T10:00:00Z", "paid", "L2", "300.00"), 2).await;
        sells(world, &app, (3, "2026-02-06T10:00:00Z", "paid", "11043", "500.00"), 3).await;
        sells(world, &app, (1, "2026-01-05T10:00:00Z", "cancelled", "ABC123", "100.00"), 4).await;
        sells(world, &app, (4, "2026-03-05T10:00:00Z", "paid", "L2", "690.00"), 5).await;
        sells(world, &app, (5, "2026-03-06T10:00:00Z", "paid", "11043", "510.00"), 6).await;
        world.settles().await;
        let text = said(&world.run(&["close", "2026-03"]).await);
        let says = "PREVIEW: period 2026-02 before it IS NOT CLOSED (it can be from 2026-03-04T00:00:00Z on)";
        assert!(text.contains(says), "{text}");
        let before = shown(world, "2026-03").await;
        assert_eq!(before["assumes"][0]["period"], "2026-02");
        let stories = async || {
            let mut stories = Vec::new();
            for who in ["10090", "11043", "ABC123"] {
                let mut story = told(world, who, "2026-03").await;
                story.as_object_mut().unwrap().remove("assumes");
                stories.push(story);
            }
            stories
        };
        let early = stories().await;
        let text = said(&world.run(&["explain", "11043", "2026-03"]).await);
        assert!(text.contains("PREVIEW: period 2026-02 before it IS NOT CLOSED"), "{text}");
        let refused = world.run(&["close", "2026-03", "--commit", "--by", "finance-7"]).await;
        let why = failed(&refused);
        assert!(why.contains("period 2026-02 of plan field is open"), "{why}");
        let never = failed(&world.run(&["close", "2027-12"]).await);
        assert!(never.contains("period 2026-02 of plan field is the next to close"), "{never}");

        commit(world, "2026-02").await;
        let mut after = shown(world, "2026-03").await;
        assert_eq!(after["assumes"], json!([]));
        // The close of February has recorded ranks since: their version is all that differs.
        after["basis"]["ranks"] = before["basis"]["ranks"].clone();
        after["assumes"] = before["assumes"].clone();
        assert_eq!(before, after);
        // 690 meet the 200 and 490 of the 510; L2 gets the bonus for gold, 11043 not again.
        assert_eq!(after["summary"]["paid"], "169.00");
        let mut late = stories().await;
        for (early, late) in early.iter().zip(&mut late) {
            late["basis"]["ranks"] = early["basis"]["ranks"].clone();
        }
        assert_eq!(early, late);
        app.stop().await;
    });
}

fn with_calendar(version: u32, from: &str, calendar: &str) -> String {
    let text = PLAN.replace("version = 1", &format!("version = {version}"));
    let text = text.replace("2020-01-01T00:00:00Z", from);
    text.replace("every = { kind = \"monthly\" }", &format!("every = {calendar}"))
}

#[test]
fn closed_periods_outlive_their_calendar_and_the_next_one_goes_on_where_they_end() {
    world("moving_calendar", async |world| {
        let app = placed(world).await;
        sells(world, &app, (1, "2026-01-05T10:00:00Z", "paid", "11043", "200.00"), 1).await;
        sells(world, &app, (2, "2026-02-05T10:00:00Z", "paid", "L2", "120.00"), 2).await;
        world.settles().await;
        app.stop().await;
        commit(world, "2026-01").await;
        commit(world, "2026-02").await;
        let january = told(world, "11043", "2026-01").await;
        let store = world.store();
        let register =
            async |text: &str| store.register_plan(&Plan::parse(text).unwrap(), text).await;
        let weeks = |day: &str| format!("{{ kind = \"weekly\", starts = \"{day}\" }}");
        // March 1 is a Sunday: weeks from Monday on would begin in February.
        let monday = with_calendar(2, "2026-03-01T00:00:00Z", &weeks("monday"));
        let refused = register(&monday).await.unwrap_err().chain();
        for part in [
            "plan field version 2 cannot take the place of the version before it",
            "does not go on where period 2026-02 ends, at 2026-03-01T00:00:00Z",
            "its period 2026-02-23 begins at 2026-02-23T00:00:00Z",
            "effective_from = \"2026-06-01T00:00:00Z\"",
        ] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        // In the middle of a month that has begun, too; and periods that do not reach that far.
        let middle = with_calendar(2, "2026-03-18T00:00:00Z", &weeks("monday"));
        let refused = register(&middle).await.unwrap_err().chain();
        assert!(refused.contains("where period 2026-03 ends, at 2026-04-01"), "{refused}");
        let named = "{ kind = \"custom\", periods = [{ id = \"P4\", first = \"2026-04-01\", last = \"2026-04-28\" }] }";
        let refused = register(&with_calendar(2, "2026-03-01T00:00:00Z", named)).await.unwrap_err();
        assert!(refused.chain().contains("it has no period there"), "{}", refused.chain());
        let again =
            named.replace("P4", "2026-01").replace("04-01", "03-01").replace("04-28", "03-28");
        let refused =
            register(&with_calendar(2, "2026-03-01T00:00:00Z", &again)).await.unwrap_err();
        assert!(refused.chain().contains("two periods are called 2026-01"), "{}", refused.chain());

        register(&with_calendar(2, "2026-03-01T00:00:00Z", &weeks("sunday"))).await.unwrap();
        // The closed ones are found as before.
        for period in ["2026-01", "2026-02"] {
            said(&world.run(&["close", period, "--verify"]).await);
            let told = said(&world.run(&["close", period]).await);
            assert!(told.contains("is closed since"), "{told}");
        }
        assert_eq!(told(world, "11043", "2026-01").await, january);
        let gone = failed(&world.run(&["close", "2026-03"]).await);
        assert!(gone.contains("2026-03"), "{gone}");
        // The first week looks back at the month before, opens with its carry, and knows its ranks.
        let week = told(world, "L2", "2026-03-01").await;
        assert_eq!(week["look_back"], json!(["2026-03-01", "2026-02"]));
        assert_eq!(week["activity"]["periods"], json!(["0", "120"]));
        assert_eq!(week["rank"]["achieved"], "silver");
        commit(world, "2026-03-01").await;
        let carried = "SELECT (left_carried / 10000)::text FROM upline.period_position
                       WHERE period = '2026-03-01' AND position = 0";
        assert_eq!(world.rows(carried).await[0].get::<_, &str>(0), "80");
        said(&world.run(&["close", "2026-03-01", "--verify"]).await);
        let next = failed(&world.run(&["close", "2026-02-22"]).await);
        assert!(next.contains("2026-02-22"), "{next}");
    });
}

#[test]
fn ending_a_forced_rank_leaves_what_is_forced_for_later() {
    world("moving_clear", async |world| {
        let app = founded(world).await;
        let rank = async |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            let signed = ["--plan", "field", "--by", "staff-7", "--why", "the fair"];
            world.run(&[&["rank"], &words[..], &signed].concat()).await
        };
        said(&rank("force ABC123 gold --from 2026-02").await);
        said(&rank("force ABC123 silver --exactly --from 2026-04 --until 2026-05").await);
        let told = failed(&rank("clear ABC123 --from 2026-01").await);
        assert!(
            told.contains("no rank is forced for ABC123 in plan field at 2026-01-01"),
            "{told}"
        );
        assert!(told.contains("fact 1: at least gold from 2026-02-01T00:00:00Z"), "{told}");
        let told = said(&rank("clear ABC123 --from 2026-03").await);
        for part in [
            "from 2026-03-01T00:00:00Z until 2026-04-01T00:00:00Z, and from 2026-06-01T00:00:00Z,",
            "forced for later, and remains (--all ends it too):",
            "fact 2: exactly silver from 2026-04-01T00:00:00Z until 2026-06-01T00:00:00Z",
        ] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
        let mut company = Company::default();
        let reader = CompanyReader::new(world.store());
        reader.catch_up(&mut company).await.unwrap();
        let plan = Plan::parse(PLAN).unwrap();
        let of = |company: &Company, at: &str| {
            let member = company.genealogy.find(&"ABC123".to_owned().try_into().unwrap()).unwrap();
            let ranks = company.ranks.of("field");
            ranks.as_of(at.parse().unwrap(), u64::MAX, &plan.ranks).rank(member).0
        };
        let days = ["2026-02-10", "2026-03-10", "2026-04-10", "2026-06-10"];
        let at = |company: &Company| days.map(|day| of(company, &format!("{day}T00:00:00Z")));
        assert_eq!(at(&company), [2, 0, 1, 0]);
        said(&rank("clear ABC123 --from 2026-03 --all").await);
        reader.catch_up(&mut company).await.unwrap();
        assert_eq!(at(&company), [2, 0, 0, 0]);
        app.stop().await;
    });
}

#[test]
fn an_order_is_locked_to_the_facts_themselves_and_not_to_their_number() {
    world("moving_lock", async |world| {
        let app = founded(world).await;
        let store = world.store();
        let decided = |rank| RankDecision {
            plan: "field",
            distributor: "ABC123",
            rank: Some(rank),
            source: RankSource::Forced { hold: Hold::AtLeast, until: None },
            raises_title: false,
            from: "2026-01-01T00:00:00Z".parse().unwrap(),
            by: "staff-7",
            why: "the fair",
        };
        store.decide_rank(&decided("gold")).await.unwrap();
        app.stop().await;
        let app = world.start().await;
        sells(world, &app, (1, "2026-01-05T10:00:00Z", "paid", "ABC123", "100.00"), 1).await;
        world.pays("1", &["ABC123 9.00"]).await;
        app.stop().await;
        let query =
            "SELECT calc_snapshot_json::text FROM upline.commission_run WHERE order_id = '1'";
        let run: Run = serde_json::from_str(world.rows(query).await[0].get(0)).unwrap();
        assert_eq!(run.order.locks.ranks, Some(1));
        let loaded = async || {
            let mut company = Company::default();
            CompanyReader::new(world.store()).catch_up(&mut company).await.unwrap();
            company
        };
        let known = loaded().await;
        assert_eq!(run.order.locks.ranks_hash, Some(known.ranks.version().hash));
        let trace = Trace::start("2026-01-06T00:00:00Z".parse().unwrap());
        let judge = |company: &Company, order| {
            let mapped = Mapped { order, trace: trace.clone() };
            Commission::new(CompanyCell::new(company.clone())).judge(mapped)
        };
        let Verdict::Emit(again) = judge(&known, run.order.clone()) else {
            panic!("it is the same")
        };
        assert_eq!(again.run, run);

        // The end of the table is cut off and another fact written in its place.
        let cut = "ALTER TABLE upline.rank_fact DISABLE TRIGGER append_only; DELETE FROM upline.rank_fact";
        world.execute(cut).await.unwrap();
        assert_eq!(store.decide_rank(&decided("silver")).await.unwrap(), 1);
        let other = loaded().await;
        let judged = judge(&other, run.order.clone());
        let Verdict::Defer(reason) = judged else { panic!("{judged:?}") };
        assert_eq!(reason, DeferReason::VersionNotLoaded);
        // An order that was locked before the hash was kept has only the number.
        let mut old = run.order.clone();
        old.locks.ranks_hash = None;
        let Verdict::Emit(computed) = judge(&other, old) else {
            panic!("it has no hash to compare")
        };
        assert_ne!(computed.run.lines, run.lines);
    });
}
