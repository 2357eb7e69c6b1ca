import Model
import Protocol
import Testing

@testable import ExportCore

/// The tables by which records are found, against dictionaries that do the same.
@Suite struct RecordTableTests {
    private struct Reference {
        var inHand: [RecordKey: UInt32] = [:]
        var told: [RecordKey: UInt32] = [:]

        mutating func set(_ path: WritableKeyPath<Reference, [RecordKey: UInt32]>, _ key: RecordKey, _ bits: UInt32) {
            self[keyPath: path][key] = bits == 0 ? nil : bits
        }

        func inHand(_ key: RecordKey) -> UInt32 { inHand[key] ?? 0 }
        func told(_ key: RecordKey) -> UInt32 { told[key] ?? 0 }
    }

    /// Few keys, so that they meet; of the kinds that feeds make: offsets that grow by little, and random ones.
    private func keys(_ rng: inout PRNG) -> [RecordKey] {
        let file = rng.next()
        return (0..<200 as Range<UInt64>).map { number in
            number % 2 == 0 ? RecordKey(high: file, low: number * 600) : RecordKey(high: rng.next(), low: rng.next())
        }
    }

    @Test func randomHistoriesAgreeWithDictionaries() {
        for seed in 1...40 as ClosedRange<UInt64> {
            var rng = PRNG(seed: seed)
            let keys = keys(&rng)
            var table = RecordTable()
            var model = Reference()
            var places: [RecordKey: RecordTable.Place] = [:]
            for _ in 0..<4_000 {
                let key = keys[Int(rng.next() % UInt64(keys.count))]
                let bits = UInt32(truncatingIfNeeded: rng.next() % 8)
                switch rng.next() % 5 {
                case 0:
                    let fresh = bits & ~model.inHand(key) & ~model.told(key)
                    let found = table.admit(key, bits)
                    #expect(found.fresh == fresh, "seed \(seed)")
                    if fresh != 0 {
                        #expect(places[key] == nil || places[key] == found.place, "seed \(seed)")
                        places[key] = found.place
                    }
                    model.set(\.inHand, key, model.inHand(key) | fresh)
                case 1 where bits != 0:
                    places[key] = table.hold(key, bits)
                    model.set(\.inHand, key, model.inHand(key) | bits)
                case 2:
                    guard let place = places[key] else { continue }
                    table.release(key, at: place, bits)
                    model.set(\.inHand, key, model.inHand(key) & ~bits)
                case 3 where bits != 0:
                    if let place = places[key] {
                        table.tell(key, at: place, bits)
                    } else {
                        places[key] = table.tell(key, bits)
                    }
                    model.set(\.inHand, key, model.inHand(key) & ~bits)
                    model.set(\.told, key, model.told(key) | bits)
                default:
                    guard let place = places[key] else { continue }
                    table.forget(key, at: place, bits)
                    // As with a row that speaks of it a second time.
                    table.forget(key, at: place, bits)
                    model.set(\.told, key, model.told(key) & ~bits)
                }
                if model.inHand(key) | model.told(key) == 0 { places[key] = nil }
                let known = Set(model.inHand.keys).union(model.told.keys).count
                #expect(table.count == known && table.inHandCount == model.inHand.count, "seed \(seed)")
            }
            for key in keys {
                #expect(table.admit(key, 7).fresh == 7 & ~model.inHand(key) & ~model.told(key), "seed \(seed)")
            }
        }
    }

    @Test func shardsAreCountedAndListedInOrder() {
        var map = ShardMap<Int>()
        for shard in [300, 4, 65_535, 4] as [UInt16] { map[shard] = (map[shard] ?? 0) + Int(shard) }
        #expect(map.count == 3 && map[4] == 8 && map[5] == nil)
        #expect(map.map(\.key) == [4, 300, 65_535])
        map[300] = nil
        map[7] = nil
        #expect(map.count == 2 && map.map(\.value) == [8, 65_535])
    }

    @Test func pagesAreFoundByTheRecordsInThem() {
        var places = PagePlaces()
        // Read out of order, as targets at different places do.
        places.add(3, of: 1, 300..<400)
        places.add(1, of: 1, 100..<200)
        places.add(2, of: 1, 200..<300)
        places.add(9, of: 2, 0..<50)
        let found = [99, 100, 199, 200, 299, 399, 400].map { places.page(of: RecordKey(high: 1, low: $0)) }
        #expect(found == [nil, 1, 1, 2, 2, 3, nil])
        #expect(places.page(of: 1, overlapping: 0..<100) == nil)
        #expect(places.page(of: 1, overlapping: 150..<350) == 1)
        #expect(places.page(of: 2, overlapping: 49..<60) == 9)
        places.remove(2, of: 1)
        places.remove(9, of: 2)
        #expect(places.page(of: RecordKey(high: 1, low: 250)) == nil)
        #expect(places.page(of: 1, overlapping: 200..<301) == 3)
        #expect(places.page(of: RecordKey(high: 2, low: 0)) == nil)
    }
}
