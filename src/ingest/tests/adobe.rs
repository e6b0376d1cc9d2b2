//! Deliveries of Adobe I/O Events: keys, signatures, addressees. The keys and signatures were made by
//! other software than that which is tested.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::support::{SECRET, Server, config, hex_of, post};
use crate::{
    domain::id::{Platform, StoreId},
    ingest::{
        AdobeEvents, AdobeKey, Outcome, StoreEndpoint,
        adobe::{self, BODY_MAX, KeyError},
        signature::Disbelief,
    },
    stage::platform::{Scope, StorePolicy},
};

const FIRST: &str = "x-adobe-digital-signature-1";
const SECOND: &str = "x-adobe-digital-signature-2";
const PATH: &str = "/webhooks/magento/acme/sales_order_save";

#[derive(Deserialize)]
struct Vector {
    name: String,
    body: String,
    /// By each key.
    signatures: [String; 2],
}

#[derive(Deserialize)]
struct Unusable {
    elliptic: String,
    short: String,
}

#[derive(Deserialize)]
struct Vectors {
    client_id: Box<str>,
    keys: [String; 2],
    pkcs1: String,
    unusable: Unusable,
    #[serde(rename = "vectors")]
    cases: Vec<Vector>,
}

impl Vectors {
    fn load() -> Self {
        serde_json::from_str(include_str!("adobe.json")).unwrap()
    }

    fn named(&self, name: &str) -> &Vector {
        self.cases.iter().find(|vector| vector.name == name).unwrap()
    }

    /// A store that has these of the keys.
    fn events(&self, keys: &[usize]) -> AdobeEvents {
        let key = |i: &usize| AdobeKey::from_pem(&self.keys[*i]).unwrap();
        AdobeEvents { client_id: self.client_id.clone(), keys: keys.iter().map(key).collect() }
    }
}

fn judge(
    events: &AdobeEvents,
    body: &str,
    headers: &[(&'static str, &str)],
) -> Result<(), Disbelief> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    events.verify(body.as_bytes(), &adobe::claimed(&headers)?)
}

#[test]
fn either_signature_by_any_key_will_do_and_nothing_near_it_will() {
    let vectors = Vectors::load();
    let Vector { body, signatures: [by_one, by_two], .. } = vectors.named("order");
    let wrong = Err(Disbelief::Wrong(FIRST));
    for (keys, headers, expected) in [
        (&[0][..], &[(FIRST, &**by_one)][..], Ok(())),
        (&[0], &[(SECOND, by_one)], Ok(())),
        (&[1], &[(FIRST, by_one), (SECOND, by_two)], Ok(())),
        (&[0, 1], &[(FIRST, "no base64"), (SECOND, by_two)], Ok(())),
        (&[0], &[(FIRST, by_two)], wrong),
        (&[1], &[(FIRST, by_one)], wrong),
        (&[0, 1], &[], Err(Disbelief::Missing(FIRST))),
        (&[0, 1], &[(FIRST, "")], Err(Disbelief::Malformed(FIRST))),
        (&[0, 1], &[(FIRST, "no base64")], Err(Disbelief::Malformed(FIRST))),
        (&[0, 1], &[(FIRST, "AAAA")], wrong),
    ] {
        assert_eq!(judge(&vectors.events(keys), body, headers), expected, "{keys:?} {headers:?}");
    }
    let longer = format!("{body} ");
    for tampered in [&longer, &body.replacen("108.0000", "908.0000", 1), "", "{}"] {
        let events = vectors.events(&[0, 1]);
        let headers = [(FIRST, &**by_one), (SECOND, &**by_two)];
        assert_eq!(judge(&events, tampered, &headers), wrong);
    }
    let long = "A".repeat(1372);
    let found = judge(&vectors.events(&[0]), body, &[(FIRST, &long)]);
    assert_eq!(found, Err(Disbelief::Malformed(FIRST)));
}

#[test]
fn what_adobe_signed_for_somebody_else_is_not_believed() {
    let vectors = Vectors::load();
    let events = vectors.events(&[0]);
    for vector in &vectors.cases {
        let found = judge(&events, &vector.body, &[(FIRST, &vector.signatures[0])]);
        let own = matches!(&*vector.name, "order" | "batch");
        let expected = if own { Ok(()) } else { Err(Disbelief::Recipient) };
        assert_eq!(found, expected, "{}", vector.name);
    }
}

#[test]
fn a_file_that_is_no_key_of_adobes_says_why() {
    let vectors = Vectors::load();
    let read = |text: &str| AdobeKey::from_pem(text);
    let key = read(&vectors.keys[0]).unwrap();
    assert_eq!(format!("{key:?}"), "AdobeKey(2048 bits)");
    assert_eq!(format!("{:?}", read(&vectors.keys[1]).unwrap()), "AdobeKey(3072 bits)");
    assert_eq!(read(&vectors.pkcs1).unwrap(), key);
    assert_eq!(read(&format!("about\r\n{}\n", vectors.keys[0])).unwrap(), key);
    assert!(matches!(read(&vectors.unusable.elliptic), Err(KeyError::Shape)));
    assert!(matches!(read(&vectors.unusable.short), Err(KeyError::Bits(1024))));
    let framed = |body: &str| format!("-----BEGIN PUBLIC KEY-----{body}-----END PUBLIC KEY-----");
    for text in ["", "-----BEGIN PUBLIC KEY-----", &vectors.keys.concat()] {
        assert!(matches!(read(text), Err(KeyError::Frame)), "{text}");
    }
    let private = vectors.keys[0].replace("PUBLIC", "PRIVATE");
    assert!(matches!(read(&private), Err(KeyError::Frame)));
    assert!(matches!(read(&framed("?")), Err(KeyError::Base64(_))));
    for der in ["", "MAA=", "MIL//w==", "MAMCAQA=", "MAYCAQACAQA="] {
        assert!(matches!(read(&framed(der)), Err(KeyError::Shape)), "{der}");
    }
    let cut = vectors.pkcs1.replacen("MIIBCgKC", "MIIBCgKD", 1);
    assert!(matches!(read(&cut), Err(KeyError::Shape)));
}

/// An edge whose Magento store has these secrets beside both of Adobe's keys.
async fn server(secrets: &[&str]) -> Server {
    let store = StoreId::parse("acme").unwrap();
    let endpoint = StoreEndpoint {
        scope: Scope::new(store.clone(), &StorePolicy::default()),
        store,
        platform: Platform::Magento,
        secrets: secrets.iter().map(|secret| (*secret).into()).collect(),
        adobe: Some(Vectors::load().events(&[0, 1])),
    };
    Server::of(config(), vec![endpoint]).await
}

#[tokio::test]
async fn adobe_delivers_to_a_store_without_a_secret() {
    let vectors = Vectors::load();
    let server = server(&[]).await;
    let Vector { body, signatures: [_, by_two], .. } = vectors.named("order");
    let headers = [(SECOND, &**by_two), ("x-adobe-event-id", "e-1")];
    assert_eq!(server.send(post(PATH, &headers, body)).await.status, 200);
    let [envelope] = <[_; 1]>::try_from(server.log.taken()).unwrap();
    assert_eq!(envelope.delivery, "mag:acme:sales_order_save:e-1");
    assert_eq!(&*envelope.body, body.as_bytes());

    let Vector { body: foreign, signatures: [by_one, _], .. } =
        vectors.named("for another customer");
    let huge = "x".repeat(BODY_MAX + 1);
    for (headers, body, status, code, says) in [
        (&[][..], &**body, 401, "bad_signature", FIRST),
        (&[(FIRST, "?")], body, 401, "bad_signature", "RSA signature in base64"),
        (&[(FIRST, &**by_one)], body, 401, "bad_signature", "adobe.keys"),
        (&[(FIRST, by_one)], foreign, 401, "bad_signature", "recipient_client_id"),
        (&[("x-magento-signature", &*hex_of(body.as_bytes()))], body, 401, "bad_signature", FIRST),
        (&[(FIRST, by_one)], &huge, 413, "too_large", "2097152"),
    ] {
        let reply = server.send(post(PATH, headers, body)).await;
        assert_eq!((reply.status, &*reply.error()), (status, code), "{says}");
        assert!(reply.body.contains(says), "{}", reply.body);
    }
    assert_eq!(server.log.taken().len(), 1);
    assert_eq!(server.recorder.outcomes()[1], ("magento", Outcome::BadSignature));
}

#[tokio::test]
async fn a_store_may_have_both_and_the_hmac_is_judged_first() {
    let vectors = Vectors::load();
    let server = server(&[SECRET]).await;
    let Vector { body, signatures: [by_one, _], .. } = vectors.named("order");
    let (hmac, wrong) = (hex_of(body.as_bytes()), hex_of(b"another body"));
    for (headers, status) in [
        (&[("x-magento-signature", &*hmac)][..], 200),
        (&[(FIRST, &**by_one)], 200),
        (&[(FIRST, by_one), ("x-magento-signature", &wrong)], 401),
        (&[], 401),
    ] {
        assert_eq!(server.send(post(PATH, headers, body)).await.status, status, "{headers:?}");
    }
}
