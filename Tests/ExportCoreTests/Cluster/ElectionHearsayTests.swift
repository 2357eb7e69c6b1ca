import ExportCore
import Model
import Testing

/// What somebody other than the store says of terms.
extension LeaderElectionTests {
    /// A worker in a bad state, or a thousand of them, tell of a later term without end: the store decides, and says that all
    /// is well. What it was told is outgrown by the next term.
    @Test func whatWorkersTellDeposesNobody() {
        var script = Script.leader()
        var (lease, version, readings, writes) = (record("a/1", 1, 1), 1, 0, 0)
        var (read, write): (UInt64?, (id: UInt64, record: LeaseRecord)?)
        for time in stride(from: 200, to: 60_200, by: 10) as StrideTo<UInt64> {
            var effects: [LeaderElection.Effect] = []
            if let id = read { effects += script.at(time, .read(id: id, state(lease, "v\(version)"))) }
            if let (id, record) = write {
                (lease, version) = (record, version + 1)
                effects += script.at(time, .wrote(id: id, LeaseVersion("v\(version)")))
            }
            (read, write) = (nil, nil)
            for later in 2...9 as ClosedRange<UInt64> { effects += script.at(time, .told(term: later)) }
            effects += script.at(time, .tick)
            for effect in effects {
                switch effect {
                case .read(let id): (read, readings) = (id, readings + 1)
                case .write(let id, let record, _): (write, writes) = ((id, record), writes + 1)
                default: Issue.record("\(time): \(effect)")
                }
            }
            #expect(script.isLeading(time))
        }
        // One every retry period of two seconds, and the renewals in between.
        #expect((20...31).contains(readings))
        #expect((25...40).contains(writes))
        #expect(lease.term == 1)
        let resigned = script.at(60_300, .resign)
        #expect(resigned.first == .stepDown(term: 1, .resigned))
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
        _ = script.at(520, .read(id: 3, state(record("a/1", 1, 1), "v1")))
        #expect(script.at(600, .resign) == [.stepDown(term: 1, .resigned), .read(id: 4)])
        let given = script.at(610, .read(id: 4, state(record("a/1", 1, 1), "v1")))
        #expect(given == [.write(id: 5, record("", 1, 2), replacing: LeaseVersion("v1"))])
        _ = script.at(620, .wrote(id: 5, LeaseVersion("v2")))
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
