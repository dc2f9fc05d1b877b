//! Figures as a picture: an SVG of panels with a bar for each median, a dot for each round and a line for each limit.

use crate::figures::median;
use anyhow::{Context, Result};
use clap::Args;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const WIDTH: u32 = 1_000;
const TITLE_HEIGHT: u32 = 50;
const PANEL_HEIGHT: u32 = 300;

/// A bar and the gaps beside it, on the axis of a panel.
const STEP: i32 = 10;
const GAP: i32 = 2;

/// In the order in which series appear.
const COLOURS: [RGBColor; 4] =
    [RGBColor(117, 117, 117), RGBColor(31, 119, 180), RGBColor(44, 160, 44), RGBColor(148, 103, 189)];
const LIMIT_COLOUR: RGBColor = RGBColor(200, 30, 30);

/// Where the picture goes.
#[derive(Debug, Args)]
pub(crate) struct PlotOptions {
    /// The directory where the figures are drawn as SVG [default: target/bench of the workspace]
    #[arg(long)]
    plots: Option<PathBuf>,
}

/// What a bar shows: one figure of all rounds.
pub(crate) struct Bar {
    /// Bars of one series have one colour.
    pub(crate) series: &'static str,
    /// Below the bar.
    pub(crate) label: String,
    pub(crate) rounds: Vec<u64>,
}

/// Bars that share an axis.
pub(crate) struct Panel {
    pub(crate) title: String,
    /// What the axis counts.
    pub(crate) unit: &'static str,
    /// Writes a value of the axis.
    pub(crate) write: fn(u64) -> String,
    pub(crate) bars: Vec<Bar>,
    /// Lines across the panel: what is promised, or what is possible.
    pub(crate) limits: Vec<(&'static str, u64)>,
}

impl Bar {
    /// Makes the bar of the run that is at a place of every round.
    pub(crate) fn of<F>(
        (series, label): (&'static str, String),
        rounds: &[Vec<F>],
        place: usize,
        figure: fn(&F) -> u64,
    ) -> Self {
        let rounds = rounds.iter().filter_map(|round| round.get(place)).map(figure).collect();
        Self { series, label, rounds }
    }

    fn median(&self) -> u64 {
        median(self.rounds.clone())
    }
}

impl PlotOptions {
    /// Draws the panels below each other and returns the path of the file.
    pub(crate) fn draw(&self, name: &str, title: &str, panels: &[Panel]) -> Result<PathBuf> {
        let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
        let dir = self.plots.clone().unwrap_or_else(default);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let path = fs::canonicalize(&dir)?.join(format!("{name}.svg"));
        draw(&path, title, panels).with_context(|| format!("cannot draw {}", path.display()))?;
        Ok(path)
    }
}

fn draw(path: &Path, title: &str, panels: &[Panel]) -> Result<()> {
    let count = u32::try_from(panels.len())?;
    let height = TITLE_HEIGHT + PANEL_HEIGHT * count;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let below = root.titled(title, ("sans-serif", 22))?;
    for (panel, area) in panels.iter().zip(below.split_evenly((panels.len(), 1))) {
        panel.draw(&area)?;
    }
    root.present()?;
    Ok(())
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
        let bars = i32::try_from(self.bars.len())?;
        // Beside the bars is room for the legend.
        let right = bars * STEP + (bars * STEP / 3).max(STEP);
        let middles: Vec<i32> = (0..bars).map(|place| place * STEP + STEP / 2).collect();
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 17))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(90)
            .build_cartesian_2d((0..right).with_key_points(middles), 0..self.top())?;
        let label = |x: &i32| {
            let place = usize::try_from(x / STEP).unwrap_or(usize::MAX);
            self.bars.get(place).map(|bar| bar.label.clone()).unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .y_labels(6)
            .y_desc(self.unit)
            .x_label_formatter(&label)
            .y_label_formatter(&|value| (self.write)(*value))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .draw()?;
        let series: BTreeSet<&str> = self.bars.iter().map(|bar| bar.series).collect();
        for name in &series {
            let colour = self.colour(name);
            let of_series = (0..).step_by(usize::try_from(STEP)?).zip(&self.bars);
            let of_series: Vec<(i32, &Bar)> = of_series.filter(|(_, bar)| bar.series == *name).collect();
            let shapes = of_series.iter().map(|(x, bar)| {
                let corners = [(x + GAP, 0), (x + STEP - GAP, bar.median())];
                Rectangle::new(corners, colour.filled())
            });
            let key = move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled());
            chart.draw_series(shapes)?.label(*name).legend(key);
            let dots = of_series.iter().flat_map(|(x, bar)| {
                bar.rounds
                    .iter()
                    .map(move |round| Circle::new((x + STEP / 2, *round), 3, BLACK.stroke_width(1)))
            });
            chart.draw_series(dots)?;
            let values = of_series.iter().map(|(x, bar)| {
                Text::new((self.write)(bar.median()), (x + GAP, self.above(bar)), ("sans-serif", 13))
            });
            chart.draw_series(values)?;
        }
        for (name, value) in &self.limits {
            let line = [(0, *value), (right, *value)];
            let line = DashedLineSeries::new(line, 8, 5, LIMIT_COLOUR.stroke_width(2));
            let key = |(x, y)| PathElement::new([(x, y), (x + 14, y)], LIMIT_COLOUR.stroke_width(2));
            chart.draw_series(line)?.label(format!("{name}: {}", (self.write)(*value))).legend(key);
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .label_font(("sans-serif", 13))
            .draw()?;
        Ok(())
    }

    /// The end of the axis: above everything there is room for what is written over a bar.
    fn top(&self) -> u64 {
        let figures = self.bars.iter().flat_map(|bar| &bar.rounds);
        let most = figures.chain(self.limits.iter().map(|(_, value)| value)).max().copied().unwrap_or(0);
        (most + most / 5).max(10)
    }

    /// Where the value of a bar is written: over its highest dot.
    fn above(&self, bar: &Bar) -> u64 {
        bar.rounds.iter().max().copied().unwrap_or(0) + self.top() / 12
    }

    fn colour(&self, series: &str) -> RGBColor {
        let mut names: Vec<&str> = Vec::new();
        for bar in &self.bars {
            if !names.contains(&bar.series) {
                names.push(bar.series);
            }
        }
        let place = names.iter().position(|name| *name == series).unwrap_or_default();
        COLOURS[place % COLOURS.len()]
    }
}
