//! One durable append after the other, through each call.

use criterion::{Criterion, criterion_group, criterion_main};
use streamkit_benches::load::{self, Load, Subject, Until};
use streamkit_benches::ours::VARIANTS;

fn append_latency(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("append_latency");
    for variant in VARIANTS {
        let dir = tempfile::tempdir().expect("a folder");
        let ours = variant.open(dir.path(), 1).expect("a store");
        let subject = Subject::Ours(ours.clone());
        let mut heads = Vec::new();
        group.bench_function(variant.name, |bencher| {
            bencher.iter_custom(|calls| {
                let load = Load::single(1, Until::Calls(calls));
                let figures = load::run(&runtime, &subject, load, &mut heads).expect("appends");
                load::elapsed(&figures, load, calls)
            });
        });
        ours.close(&runtime);
    }
    group.finish();
}

criterion_group! { name = benches; config = streamkit_benches::short!(Criterion); targets = append_latency }
criterion_main!(benches);
