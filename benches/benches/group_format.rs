//! The format alone: encoding a transaction, making a group of it, and decoding its entries. No file is touched.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamkit_benches::payload;
use streamkit_engine::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use streamkit_engine::format::transaction::{self, Encoded};
use streamkit_engine::{LogPosition, Record, Sequence, Timestamp, Transaction};
use uuid::Uuid;

fn header() -> GroupHeader {
    GroupHeader {
        body_crc: 0,
        body_bytes: 0,
        chain: 0,
        transaction_count: 1,
        number: 1,
        epoch: 1,
        durable: LogPosition { extent: 1, byte: 4096 },
        extent: 1,
        writer: Uuid::nil(),
        link: 0,
    }
}

fn group_format(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group_format");
    for records in [1, 100] {
        let made = (1..=records)
            .map(|sequence| Record::new(payload::record(0, sequence, 256)))
            .collect();
        let transaction = Transaction::single(payload::path(0), Sequence::FIRST, made);
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("encode/{records}"), |bencher| {
            bencher.iter(|| Encoded::data(&transaction))
        });
        let mut encoded = Encoded::data(&transaction);
        let mut bytes = Vec::new();
        group.bench_function(format!("commit/{records}"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                bytes.resize(GROUP_HEADER_BYTES, 0);
                bytes.extend_from_slice(encoded.commit(1, Timestamp(1)));
                header().seal(7, &mut bytes)
            });
        });
        let body = Bytes::copy_from_slice(&bytes[GROUP_HEADER_BYTES..]);
        group.bench_function(format!("check/{records}"), |bencher| {
            bencher.iter(|| {
                transaction::open_transaction(&body)
                    .map(|(header, _)| header.number)
                    .expect("it is whole")
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = streamkit_benches::short!(Criterion); targets = group_format }
criterion_main!(benches);
