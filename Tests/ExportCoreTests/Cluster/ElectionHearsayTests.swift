import ExportCore
import Model
import Testing

/// What somebody other than the store says of terms.
extension LeaderElectionTests {
    /// A worker in a bad state, or a thousand of them, tell of ever later terms without end: the store decides, and says that
    /// all is well. That costs one hand-over to oneself in five minutes.
    @Test func whatWorkersTellWithoutEndCostsAHandOverNowAndThen() {
        var script = Script.leader()
        var (lease, version, readings, writes) = (record("a/1", 1, 1), 1, 0, 0)
        var (read, write): (UInt64?, (id: UInt64, record: LeaseRecord)?)
        var (ended, led): ([UInt64], [UInt64]) = ([], [])
        var idle = 0
        for time in stride(from: 200, to: 660_200, by: 10) as StrideTo<UInt64> {
            var effects: [LeaderElection.Effect] = []
            if let id = read { effects += script.at(time, .read(id: id, state(lease, "v\(version)"))) }
            if let (id, record) = write {
                (lease, version) = (record, version + 1)
                effects += script.at(time, .wrote(id: id, LeaseVersion("v\(version)")))
            }
            (read, write) = (nil, nil)
            for ahead in 1...8 as ClosedRange<UInt64> { effects += script.at(time, .told(term: lease.term + ahead)) }
            effects += script.at(time, .tick)
            for effect in effects {
                switch effect {
                case .read(let id): (read, readings) = (id, readings + 1)
                case .write(let id, let record, _): (write, writes) = ((id, record), writes + 1)
                case .stepDown(_, .outgrown): ended.append(time)
                case .lead(let term): led.append(term)
                default: Issue.record("\(time): \(effect)")
                }
            }
            if !script.isLeading(time) { idle += 1 }
        }
        #expect(ended.count == 3 && zip(ended, ended.dropFirst()).allSatisfy { $1 - $0 >= 300_000 }, "\(ended)")
        // Each beyond all that was told by then.
        #expect(led.count == 3 && zip([1] + led, led).allSatisfy { $1 > $0 + 8 } && led.last == lease.term, "\(led)")
        #expect(idle == ended.count, "without a leader for no longer than a write takes")
        // One every retry period of two seconds, and the renewals in between.
        #expect((220...341).contains(readings))
        #expect((275...440).contains(writes))
    }

    /// Somebody edited the store, and it knows of no such term: workers that served it would refuse an earlier one for good.
    @Test func aTermThatTheStoreLostIsOutgrownAtOnce() {
        var script = Script.leader()
        #expect(script.at(500, .told(term: 57)) == [.read(id: 3)])
        #expect(script.isLeading(510))
        let effects = script.at(520, .read(id: 3, state(record("a/1", 1, 1), "v1")))
        #expect(
            effects == [
                .stepDown(term: 1, .outgrown(by: 57)),
                .write(id: 4, record("a/1", 58, 2), replacing: LeaseVersion("v1")),
            ])
        #expect(!script.isLeading(530))
        #expect(script.at(540, .wrote(id: 4, LeaseVersion("v2"))) == [.lead(term: 58)])
        #expect(script.isLeading(540))
        // The term that was told is behind us now.
        #expect(script.at(550, .told(term: 57)) == [])
    }

    /// If the store says the same, that ends the term at once.
    @Test func aWorkerThatIsRightHasTheLeaseRead() {
        var script = Script.leader()
        #expect(script.at(500, .told(term: 1)) == [])
        #expect(script.at(500, .told(term: .max)) == [])
        #expect(script.at(500, .told(term: 2)) == [.read(id: 3)])
        #expect(script.isLeading(510))
        let effects = script.at(520, .read(id: 3, state(record("b/1", 2, 9), "v9")))
        #expect(effects.first == .stepDown(term: 1, .lost(to: "b/1")))
    }

    /// A store that was emptied counts from one again; workers that remember more are outgrown by the next term.
    @Test func theNextTermIsBeyondWhatWasTold() {
        var script = Script.leader()
        _ = script.at(500, .told(term: 57))
        #expect(script.at(600, .resign) == [.stepDown(term: 1, .resigned)])
        let given = script.at(610, .read(id: 3, state(record("a/1", 1, 1), "v1")))
        #expect(given == [.write(id: 4, record("", 1, 2), replacing: LeaseVersion("v1"))])
        _ = script.at(620, .wrote(id: 4, LeaseVersion("v2")))
        var (effects, time): ([LeaderElection.Effect], UInt64) = ([], 620)
        var term: UInt64?
        while term == nil, time < 40_000 {
            time += 10
            for effect in effects + script.at(time, .tick) {
                if case .write(_, let record, _) = effect { term = record.term }
                guard case .read(let id) = effect else { continue }
                effects = script.at(time, .read(id: id, state(record("", 1, 2), "v2")))
            }
        }
        #expect(term == 58)
    }
}
