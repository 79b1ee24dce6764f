//! Who the machines are: those of an invented co-operative with stores all over Sweden. Drawn from a seed, so that the same
//! seed gives the same machines; no two are alike.
//!
//! **Their keys are drawn from it too.** Whoever knows the seed can speak for a swarm's devices: they belong in an
//! organization that nobody needs.

use std::fmt;

use countersign_trust::ids::Sha256;

/// Towns with a store, from north to south, a few in each of the 21 counties.
const TOWNS: [&str; 64] = [
    "katterjokk",
    "kiruna",
    "gallivare",
    "lulea",
    "pitea",
    "lycksele",
    "storuman",
    "umea",
    "skelleftea",
    "ostersund",
    "are",
    "sveg",
    "solleftea",
    "harnosand",
    "sundsvall",
    "hudiksvall",
    "bollnas",
    "gavle",
    "mora",
    "falun",
    "ludvika",
    "uppsala",
    "enkoping",
    "vasteras",
    "sala",
    "norrtalje",
    "stockholm",
    "sodertalje",
    "orebro",
    "karlskoga",
    "karlstad",
    "arvika",
    "eskilstuna",
    "nykoping",
    "linkoping",
    "norrkoping",
    "motala",
    "skovde",
    "trollhattan",
    "boras",
    "goteborg",
    "stromstad",
    "jonkoping",
    "varnamo",
    "visby",
    "hemse",
    "vastervik",
    "oskarshamn",
    "kalmar",
    "borgholm",
    "vaxjo",
    "ljungby",
    "varberg",
    "halmstad",
    "laholm",
    "karlskrona",
    "ronneby",
    "karlshamn",
    "kristianstad",
    "helsingborg",
    "lund",
    "malmo",
    "ystad",
    "smygehamn",
];
/// The 21 counties in the order of their towns, and how many of these each has.
const COUNTIES: [(&str, u64); 21] = [
    ("norrbotten", 5),
    ("vasterbotten", 4),
    ("jamtland", 3),
    ("vasternorrland", 3),
    ("gavleborg", 3),
    ("dalarna", 3),
    ("uppsala", 2),
    ("vastmanland", 2),
    ("stockholm", 3),
    ("orebro", 2),
    ("varmland", 2),
    ("sodermanland", 2),
    ("ostergotland", 3),
    ("vastra-gotaland", 5),
    ("jonkoping", 2),
    ("gotland", 2),
    ("kalmar", 4),
    ("kronoberg", 2),
    ("halland", 3),
    ("blekinge", 3),
    ("skane", 6),
];
/// What stands in a store, as often as it stands here.
const KINDS: [&str; 12] = [
    "till", "till", "till", "till", "till", "till", "selfscan", "selfscan", "scales", "kitchen", "office",
    "gateway",
];
const SYSTEMS: [&str; 6] = [
    "Debian GNU/Linux 12 (bookworm)",
    "Debian GNU/Linux 11 (bullseye)",
    "Ubuntu 22.04.5 LTS",
    "Ubuntu 24.04.2 LTS",
    "openSUSE Leap 15.6",
    "Raspbian GNU/Linux 12 (bookworm)",
];
const KERNELS: [&str; 3] = ["5.10.0", "6.1.0", "6.8.0"];

/// A store, or one kind of machine in it: what one enrollment token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name, such as `lund-03`.
    pub name: String,
    /// What kind of machines stand there.
    pub kind: &'static str,
    /// What the organization calls its size.
    pub size: &'static str,
}

/// What a simulated machine is.
#[derive(Clone, PartialEq, Eq)]
pub struct Machine {
    /// Which of the swarm, counted from 0.
    pub number: u64,
    /// Its device key's seed.
    pub seed: [u8; 32],
    /// What it calls its operating system.
    pub system: String,
    drawn: [u8; 32],
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The `number`th site of the co-operative, counted from 0.
pub fn site(seed: u64, number: u64) -> Site {
    let drawn = draw("site", seed, number);
    let towns = u64::try_from(TOWNS.len()).unwrap_or(1);
    let town = pick(&TOWNS, number);
    Site {
        name: format!("{town}-{:02}", number / towns + 1),
        kind: pick(&KINDS, byte(&drawn, 0)),
        size: pick(&["kiosk", "store", "store", "market"], byte(&drawn, 1)),
    }
}

/// The county in which the `number`th site is.
pub fn county(number: u64) -> &'static str {
    let mut town = number % u64::try_from(TOWNS.len()).unwrap_or(1);
    for (county, towns) in COUNTIES {
        match town.checked_sub(towns) {
            Some(rest) => town = rest,
            None => return county,
        }
    }
    ""
}

impl Machine {
    /// The `number`th machine of the swarm with this seed.
    pub fn new(seed: u64, number: u64) -> Self {
        let drawn = draw("facts", seed, number);
        let (system, kernel) = (pick(&SYSTEMS, byte(&drawn, 0)), pick(&KERNELS, byte(&drawn, 1)));
        let (patch, arch) = (byte(&drawn, 2) % 40, pick(&["x86_64", "x86_64", "aarch64"], byte(&drawn, 3)));
        let system = format!("{system}, {kernel}-{patch} {arch}");
        Self { number, seed: draw("key", seed, number), system, drawn }
    }

    /// What it calls itself where it stands: no two machines of a swarm have one name.
    pub fn hostname(&self, site: Option<&str>, kind: Option<&str>) -> String {
        let kind = kind.unwrap_or_else(|| pick(&KINDS, byte(&self.drawn, 4)));
        format!("{}-{kind}-{:04}", site.unwrap_or("sverige"), self.number)
    }

    /// A share of `whole`, other for each machine: so that not all do the same at once.
    pub fn share_of(&self, whole: std::time::Duration) -> std::time::Duration {
        let [high, low, ..] = self.drawn;
        whole * u32::from(u16::from_be_bytes([high, low])) / u32::from(u16::MAX)
    }
}

fn draw(what: &str, seed: u64, number: u64) -> [u8; 32] {
    Sha256::of(format!("countersign-swarm {what} {seed} {number}").as_bytes()).0
}

fn byte(drawn: &[u8; 32], which: usize) -> u64 {
    // From the end: the beginning says when a machine does things.
    drawn.iter().rev().nth(which).copied().unwrap_or_default().into()
}

fn pick(from: &'static [&'static str], number: u64) -> &'static str {
    let count = u64::try_from(from.len()).unwrap_or(1);
    usize::try_from(number % count).ok().and_then(|at| from.get(at)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_machines_are_alike() {
        let machines: Vec<_> = (0..10_000).map(|number| Machine::new(1, number)).collect();
        let count = |of: fn(&Machine) -> Vec<u8>| machines.iter().map(of).collect::<BTreeSet<_>>().len();
        assert_eq!(count(|machine| machine.seed.to_vec()), 10_000);
        assert_eq!(count(|machine| machine.hostname(None, None).into_bytes()), 10_000);
        assert!(count(|machine| machine.system.clone().into_bytes()) > 1_000);
    }

    #[test]
    fn the_same_seed_gives_the_same_machines_and_another_seed_others() {
        assert_eq!(Machine::new(1, 7), Machine::new(1, 7));
        assert_ne!(Machine::new(1, 7).seed, Machine::new(2, 7).seed);
        assert_ne!(Machine::new(1, 7).seed, Machine::new(1, 8).seed);
    }

    #[test]
    fn every_town_is_in_its_county() {
        let county_of = |town: &str| {
            let (number, _) = (0..).zip(TOWNS).find(|(_, one)| *one == town).unwrap();
            county(number)
        };
        let known = [
            ("katterjokk", "norrbotten"),
            ("are", "jamtland"),
            ("stockholm", "stockholm"),
            ("arvika", "varmland"),
            ("hemse", "gotland"),
            ("oskarshamn", "kalmar"),
            ("smygehamn", "skane"),
        ];
        known.iter().for_each(|(town, expected)| assert_eq!(county_of(town), *expected, "{town}"));
        assert_eq!((0..64).map(county).collect::<BTreeSet<_>>().len(), 21);
        assert_eq!(county(64), county(0));
    }

    #[test]
    fn eight_hundred_sites_have_eight_hundred_names() {
        let names: BTreeSet<_> = (0..800).map(|number| site(1, number).name).collect();
        assert_eq!(names.len(), 800);
    }
}
