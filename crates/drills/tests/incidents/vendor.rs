//! The vendor's road: a hole is found in the agent, and everybody who runs a server of the own is told at once.

mod long {
    use std::collections::BTreeSet;

    use countersign_drills::followers::{Busy, Followers, Road, VendorFeed};
    use countersign_drills::part::until;
    use countersign_trust::statement::policy::VendorHalts;

    const HOSTED: usize = 20;
    const OTHERS: usize = 40;

    /// Organizations whose policy does not say `auto`, by their number: one that asks, one that has it off, hosted and not.
    fn unlike(number: usize) -> VendorHalts {
        match number {
            3 | 23 => VendorHalts::Ask,
            7 | 27 => VendorHalts::Off,
            _ => VendorHalts::Auto,
        }
    }

    fn world(road: Road) -> Followers {
        let world = Followers::new(HOSTED, OTHERS, road, |number, policy| {
            policy.vendor.halts = unlike(number);
        });
        world.until_heard(1);
        world
    }

    fn stops(road: Road) {
        let mut world = world(road);
        // The hosted server, and two of others.
        let busy = [0, 1, 2].map(|site| world.busy(site));
        assert!(busy.iter().all(Busy::runs));
        let halt = VendorFeed::halt(9, "9.0.0");
        let hash = halt.hash();
        assert_eq!(world.stopped(&hash), (0, HOSTED + OTHERS));
        let published = world.feed.publish(halt);
        let (first, last) = world.until_stopped(&hash, HOSTED + OTHERS - 4, published);
        until("what ran is killed", || (!busy.iter().any(Busy::runs)).then_some(()));
        let killed = published.elapsed();
        println!(
            "{road:?}: the first of {} organizations on {} servers had stopped after {} ms, the last after {} ms; what ran on 3 machines \
             was gone after {} ms",
            HOSTED + OTHERS - 4,
            1 + OTHERS,
            first.as_millis(),
            last.as_millis(),
            killed.as_millis()
        );
        // Those that ask or have it off do not stop, now or later, and say so.
        let mut others = BTreeSet::new();
        for site in &world.sites {
            for org in site.orgs.iter().filter_map(|org| site.server.app.orgs.get(&org.id)) {
                let halt = site.server.app.vendor.halts().into_iter().find(|halt| halt.hash() == hash);
                let comes_to = org.chain().of_vendor(&halt.unwrap()).to_string();
                if comes_to != "stops" {
                    others.insert((comes_to, site.server.app.vendor.refusal(&org.id, &hash).is_some()));
                }
            }
        }
        assert_eq!(others, [("asks".to_owned(), true), ("off".to_owned(), true)].into());
    }

    #[test]
    fn a_vendors_halt_stops_twenty_organizations_and_forty_servers_by_held_connections() {
        stops(Road::Held);
    }

    #[test]
    fn a_vendors_halt_stops_them_within_an_interval_where_servers_poll() {
        stops(Road::Polled(2));
    }
}
