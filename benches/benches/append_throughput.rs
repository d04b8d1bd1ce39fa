//! Records a second of 64 writers, and of one producer with large transactions.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamkit_benches::load::{self, Load, Subject, Until};
use streamkit_benches::ours::VARIANTS;

fn append_throughput(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("append_throughput");
    for variant in VARIANTS {
        for (writers, records) in [(64, 1), (64, 100), (1, 1000)] {
            let dir = tempfile::tempdir().expect("a folder");
            let ours = variant.open(dir.path(), 1).expect("a store");
            let subject = Subject::Ours(ours.clone());
            let mut heads = Vec::new();
            group.throughput(Throughput::Elements((writers * records) as u64));
            group.bench_function(format!("{}/{writers} x {records}", variant.name), |bencher| {
                bencher.iter_custom(|calls| {
                    let load = Load {
                        records,
                        ..Load::single(writers, Until::Calls(calls))
                    };
                    let figures = load::run(&runtime, &subject, load, &mut heads).expect("appends");
                    load::elapsed(&figures, load, calls)
                });
            });
            ours.close(&runtime);
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = streamkit_benches::short!(Criterion); targets = append_throughput }
criterion_main!(benches);
