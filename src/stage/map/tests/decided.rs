//! What a person decided: of lines, referrers and foreign chargebacks.

use super::{
    attributed::{asking, policy},
    *,
};

fn decided(state: OrderState, second: i64, verdict: Verdict) -> OrderState {
    let decision = Decision {
        at: at(second),
        by: Operator::parse("ops-7").unwrap(),
        why: Reason::parse("a letter").unwrap(),
        verdict,
    };
    let subject = decision.verdict.subject();
    state.join(OrderState { decisions: [(subject, decision)].into(), ..OrderState::default() })
}

fn referred(who: Option<&str>) -> Verdict {
    Verdict::Referrer { distributor: who.map(|who| DistributorId::parse(who).unwrap()) }
}

fn sells(sells: Sells) -> Verdict {
    Verdict::Line { line: LineId::parse("1").unwrap(), sells }
}

#[test]
fn a_decided_line_is_no_longer_waited_for_and_holds_before_the_mapping() {
    let (company, terms) = (company(), Terms::of_plan("p"));
    let mut unknown = snapshot("99");
    unknown.lines[0].sku = None;
    let unknown = state(unknown);
    let parked = |state: &OrderState, wait: WaitsFor| {
        let mapping = map(&key(), 1, state, None, &company, &terms, &[]);
        assert_eq!(mapping, Mapping::Parked(BTreeSet::from([wait])));
    };
    parked(&unknown, WaitsFor::Unidentified("1".into()));
    let class = |class: &str| Sells::Class(CommissionClass::parse(class).unwrap());
    let article = |sku: &str| Sells::Article(Sku::parse(sku).unwrap());
    for known in [unknown.clone(), state(snapshot("99"))] {
        let order = ready(&decided(known.clone(), 1, sells(class("gold"))), None, &company, &terms);
        assert_eq!(order.lines[0].class.as_ref().unwrap().as_str(), "gold");
        assert_eq!(order.lines[0].base, money("99"));
        let of = decided(known.clone(), 1, sells(article("article")));
        let order = ready(&of, None, &company, &terms);
        assert_eq!(order.lines[0].class.as_ref().unwrap().as_str(), "kit");
        assert_eq!(order.lines[0].sku.as_ref().unwrap().as_str(), "article");
        let reference = order.lines[0].decision.as_ref().unwrap();
        assert_eq!((reference.by.as_str(), reference.at), ("ops-7", at(1)));
        assert_eq!(reference.digest, of.decisions.values().next().unwrap().digest());
        let order = ready(&decided(of, 2, sells(Sells::NoCommission)), None, &company, &terms);
        assert_eq!(order.lines[0].zero, Some(ZeroReason::Decided));
        let lost = decided(known, 1, sells(article("LOST")));
        parked(&lost, WaitsFor::Article(Sku::parse("LOST").unwrap()));
    }
}

#[test]
fn an_article_that_was_mapped_after_the_lock_binds_the_decided_line_once() {
    let (mut company, terms) = (company(), Terms::of_plan("p"));
    let first = ready(&state(snapshot("99")), None, &company, &terms);
    let row =
        |seq, sku_id, class| SkuEntry { sku_id: Sku::parse(sku_id).unwrap(), ..sku(seq, class, 0) };
    company.catalog.add(Scope::Any, Sku::parse("Z").unwrap(), row(2, "later", "kit"));
    let article = Sells::Article(Sku::parse("later").unwrap());
    let known = decided(state(snapshot("99")), 1, sells(article));
    let second = ready(&known, Some(&first.locks), &company, &terms);
    company.catalog.add(Scope::Any, Sku::parse("Z").unwrap(), row(3, "later", "other"));
    let third = ready(&known, Some(&second.locks), &company, &terms);
    assert_eq!(third.lines[0].class.as_ref().unwrap().as_str(), "kit");
    assert_eq!(third.locks, second.locks);
}

#[test]
fn a_decided_referrer_holds_before_every_source_and_policy() {
    use Unattributed::{House, None as Nothing, Park};
    let company = company();
    let links = [link(1, LinkKind::Own, "top", None, 0)];
    let house = || House(DistributorId::parse("top").unwrap());
    let [code, stranger, own] = [("order_tag", "d2"), ("order_tag", "d9"), ("customer", "")];
    let told = |who: Option<&str>, codes: &[(&str, &str)], unattributed, links: &[CustomerLink]| {
        let known = decided(state(asking(codes)), 1, referred(who));
        let terms = policy(unattributed, UnknownReferrer::Park);
        let Mapping::Ready(order) = map(&key(), 1, &known, None, &company, &terms, links) else {
            panic!("not ready");
        };
        let people = order.attribution;
        assert_eq!(people.decision.unwrap().by.as_str(), "ops-7");
        let who = people.referrer.or(people.own_purchase);
        (who.map(|who| who.to_string()).unwrap_or_default(), people.won_by)
    };
    let d1 = || ("d1".to_owned(), WonBy::Decision);
    assert_eq!(told(Some("d1"), &[code], Nothing, &[]), d1());
    assert_eq!(told(Some("d1"), &[stranger], house(), &[]), d1());
    assert_eq!(told(Some("d1"), &[own], Park, &links), d1());
    assert_eq!(told(Some("top"), &[own], Park, &links), ("top".to_owned(), WonBy::OwnPurchase));
    let nobody = || (String::new(), WonBy::Decision);
    assert_eq!(told(None, &[code], Nothing, &[]), nobody());
    assert_eq!(told(None, &[stranger], Park, &[]), nobody());
    let by_house = ("top".to_owned(), WonBy::House("unattributed".into()));
    assert_eq!(told(None, &[stranger], house(), &[]), by_house);
    assert_eq!(told(None, &[own], Park, &links), ("top".to_owned(), WonBy::OwnPurchase));
}

#[test]
fn a_decided_distributor_whom_nobody_knows_is_waited_for_and_binds_once() {
    let (mut company, terms) = (company(), Terms::of_plan("p"));
    let first = ready(&state(snapshot("99")), None, &company, &terms);
    // A folded code D1 would mean d1; an id that a person gives is taken as it stands.
    let known = decided(state(snapshot("99")), 1, referred(Some("D1")));
    let waits = BTreeSet::from([WaitsFor::Distributor(DistributorId::parse("D1").unwrap())]);
    let mapping = map(&key(), 2, &known, Some(&first.locks), &company, &terms, &[]);
    assert_eq!(mapping, Mapping::Parked(waits));
    let sponsor = Some(DistributorId::parse("d1").unwrap());
    append(&mut company.genealogy, "D1", Change::Enrolled(sponsor.clone()), 2000);
    let second = ready(&known, Some(&first.locks), &company, &terms);
    assert_eq!(second.attribution.referrer.as_ref().unwrap().as_str(), "D1");
    assert_eq!(second.locks.genealogy, company.genealogy.version());
    append(&mut company.genealogy, "later", Change::Enrolled(sponsor), 3000);
    assert_eq!(ready(&known, Some(&second.locks), &company, &terms).locks, second.locks);
}

#[test]
fn a_foreign_chargeback_is_waited_for_until_it_is_decided() {
    let (company, terms) = (company(), Terms::of_plan("p"));
    let chargeback = Chargeback {
        stage: ChargebackStage::Lost,
        id: RefundId::parse("7").unwrap(),
        amount: money("50"),
        currency: currency("USD"),
    };
    let mut disputed = state(snapshot("99"));
    disputed.chargebacks.insert(chargeback.id.clone(), chargeback.clone());
    let waits = BTreeSet::from([WaitsFor::Chargeback(chargeback.id.clone(), currency("USD"))]);
    let mapping = map(&key(), 1, &disputed, None, &company, &terms, &[]);
    assert_eq!(mapping, Mapping::Parked(waits));
    let takes = |amount: &str| Verdict::Chargeback {
        chargeback: chargeback.id.clone(),
        takes: money(amount),
        currency: currency("EUR"),
    };
    let order = ready(&decided(disputed.clone(), 1, takes("33")), None, &company, &terms);
    assert_eq!(order.lines[0].base, money("66"));
    assert_eq!(order.chargebacks[0].takes, money("33"));
    let order = ready(&decided(disputed, 1, takes("1000")), None, &company, &terms);
    assert_eq!(order.lines[0].base, Money::ZERO);
}
