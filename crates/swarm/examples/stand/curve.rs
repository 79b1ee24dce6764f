//! The curve of a bench, drawn.

use std::fmt::Write as _;

/// How long so many took, and how long raw clients did.
pub struct Point {
    pub count: u64,
    pub halt_ms: f64,
    pub raw_ms: f64,
}

const SIZE: (f64, f64) = (640.0, 360.0);
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 310.0;
const ROOM: (f64, f64) = (540.0, 260.0);

/// Both curves and the bars they are held against: a second, and a straight line through the first point of twice raw.
pub fn svg(points: &[Point]) -> String {
    let most = points.iter().map(|point| point.count).max().unwrap_or(1) as f64;
    let top = points.iter().map(|point| point.halt_ms.max(2.0 * point.raw_ms)).fold(1_000.0, f64::max);
    let at = |count: u64, ms: f64| (LEFT + ROOM.0 * count as f64 / most, BOTTOM - ROOM.1 * ms / top);
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\">From the halt's request until the last machine refuses, ms (median of 5)</text>\n\
         <path d=\"M{LEFT} {}V{BOTTOM}H{}\" fill=\"none\" stroke=\"black\"/>\n",
        SIZE.0,
        SIZE.1,
        BOTTOM - ROOM.1,
        LEFT + ROOM.0
    );
    for ms in (0..=4).map(|step| top * f64::from(step) / 4.0) {
        let (_, y) = at(0, ms);
        writeln!(drawn, "<text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{ms:.0}</text>", LEFT - 6.0, y + 4.0)
            .unwrap();
    }
    for point in points {
        let (x, _) = at(point.count, 0.0);
        writeln!(
            drawn,
            "<text x=\"{x:.0}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 18.0,
            point.count
        )
        .unwrap();
    }
    type Curve = (&'static str, &'static str, fn(&Point) -> f64);
    let curves: [Curve; 3] = [
        ("the halt", "stroke=\"#b00020\" stroke-width=\"2\"", |point| point.halt_ms),
        ("raw broadcast, one signature each", "stroke=\"#1f4e8c\"", |point| point.raw_ms),
        ("twice raw: the bar", "stroke=\"#1f4e8c\" stroke-dasharray=\"5 4\"", |point| 2.0 * point.raw_ms),
    ];
    for ((name, stroke, of), line) in curves.into_iter().zip(0_u8..) {
        let path: Vec<String> = points
            .iter()
            .map(|point| {
                let (x, y) = at(point.count, of(point));
                format!("{x:.1} {y:.1}")
            })
            .collect();
        writeln!(drawn, "<path d=\"M{}\" fill=\"none\" {stroke}/>", path.join("L")).unwrap();
        let y = 48.0 + 18.0 * f64::from(line);
        writeln!(
            drawn,
            "<path d=\"M{} {}h30\" {stroke}/><text x=\"{}\" y=\"{y}\">{name}</text>",
            LEFT + 12.0,
            y - 4.0,
            LEFT + 48.0
        )
        .unwrap();
    }
    drawn + "</svg>\n"
}
