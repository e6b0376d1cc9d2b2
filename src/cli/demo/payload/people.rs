//! Invented people at invented addresses: the adapters must never read them, and bodies without
//! them would not have the size of real ones.

/// Somebody who buys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// First name.
    pub(crate) first: &'static str,
    /// Last name.
    pub(crate) last: &'static str,
    /// Street and number.
    pub(crate) street: &'static str,
    /// City.
    pub(crate) city: &'static str,
    /// Postal code.
    pub(crate) zip: &'static str,
    /// Mail address, always at example.com.
    pub(crate) mail: &'static str,
    /// Telephone number from a range for fiction.
    pub(crate) phone: &'static str,
}

const fn person(
    names: (&'static str, &'static str),
    address: (&'static str, &'static str, &'static str),
    mail: &'static str,
    phone: &'static str,
) -> Person {
    let ((first, last), (street, city, zip)) = (names, address);
    Person { first, last, street, city, zip, mail, phone }
}

/// The people.
pub(crate) const PEOPLE: [Person; 8] = [
    person(
        ("Ada", "Sample"),
        ("1 Example Street", "Springvale", "00001"),
        "ada.sample@example.com",
        "+1 555 0100",
    ),
    person(
        ("Bo", "Placeholder"),
        ("22 Specimen Road", "Northtown", "00022"),
        "bo.placeholder@example.com",
        "+1 555 0101",
    ),
    person(
        ("Cleo", "Fixture"),
        ("303 Mockingbird Lane, Apt. 4", "Lakeside", "00303"),
        "cleo.fixture@example.com",
        "+1 555 0102",
    ),
    person(
        ("Dag", "Mu\u{df}ter"),
        ("Beispielweg 4", "Musterstadt", "12345"),
        "dag.muster@example.com",
        "+1 555 0103",
    ),
    person(
        ("Elif", "Prueba"),
        ("Calle Ejemplo 55", "San Ejemplo", "50505"),
        "elif.prueba@example.com",
        "+1 555 0104",
    ),
    person(
        ("Finn", "Dummy"),
        ("6 Imaginary Avenue", "Westhaven", "00600"),
        "finn.dummy@example.com",
        "+1 555 0105",
    ),
    person(
        ("Gia", "Invented"),
        ("77 Nowhere Square", "Eastbrook", "00077"),
        "gia.invented@example.com",
        "+1 555 0106",
    ),
    person(
        ("Ho", "Example"),
        ("8 Test Terrace", "Hillcrest", "00888"),
        "ho.example@example.com",
        "+1 555 0107",
    ),
];
