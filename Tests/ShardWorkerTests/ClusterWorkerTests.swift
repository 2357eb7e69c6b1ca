import Ledger
import Model
import Protocol
import Synchronization
import Testing

@testable import ShardWorker

/// A whole worker before a leader in memory: connection, machine, encoders, lanes and ledger are the real ones.
@Suite struct ClusterWorkerTests {
    private static func withLedger(_ body: (Ledger) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await body(ledger)
            try await ledger.close()
        }
    }

    @Test(arguments: [1, 3]) func takesDeliversAndTells(encoders: Int) async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(
                ledger, leader: ClusterBench.leader(targets: 2), receivers: [ClusterReceiver(), ClusterReceiver()],
                encoders: encoders)
            let records = ClusterRecords(count: 200)
            await eventually("ready") { bench.worker.isReady }
            for start in stride(from: 0, to: 200, by: 20) {
                bench.leader.say(records.frame(start..<start + 20, targets: 3))
            }
            for target in 0..<2 {
                await eventually("told") { bench.leader.keys(.delivered, target: UInt8(target)).count == 200 }
                #expect(Set(bench.leader.keys(.delivered, target: UInt8(target))) == Set(records.keys))
                #expect(bench.receivers[target].accepted == 200 && bench.receivers[target].distinct == 200)
            }
            // Rows are in the ledger until the leader has them, and go then.
            let rows = try await ledger.toldRows().rows
            #expect(rows.map(\.number) == bench.leader.outcomes.map(\.row).sorted())
            #expect(rows.flatMap(\.grants).allSatisfy { $0.epoch == 1 })
            let last = try #require(rows.last?.number)
            bench.leader.say(.settled(term: 1, through: last - 1))
            await eventually("forgotten") { (try? await ledger.toldRows().rows.map(\.number)) == [last] }
            #expect(try await ledger.totals(target: "t0").records == 200)
            await bench.end()
        }
    }

    /// An operator has dead letters delivered beside the worker: the leader hears of it, once, from whichever process.
    @Test func whatWasRevivedIsTold() async throws {
        try await Self.withLedger { ledger in
            let source = try await ledger.addSource(ClusterWorker.source)
            let keys = (1...6).map { RecordKey(high: 0xC4A1_FBD0_0000_4000, low: 0x8000_0000_0000_0000 | $0) }
            let places = keys.map(WorkerLedger.place)
            let uids = (1...6).map { "c4a1fbd0-0000-4000-8000-00000000000\($0)" }
            typealias Letter = (target: String, place: UInt64, uid: String, outcome: DeadLetterRemoval.Outcome)
            let letters: [Letter] = [
                ("t0", places[0], uids[0], .delivered), ("t0", places[1], uids[1], .delivered),
                // A target that is not configured; a record that goes by its place in a file; no uid, and none that is one.
                ("former", places[2], uids[2], .delivered), ("t0", 4_711, uids[3], .delivered),
                ("t0", 4_712, "", .delivered), ("t0", 4_713, "none", .delivered),
                // A person gave it up.
                ("t0", places[4], uids[4], .discarded),
            ]
            func deliver(_ id: Int64, _ letter: Letter) async throws {
                try await ledger.commit([
                    .unplacedDeadLetter(
                        NewDeadLetter(
                            target: letter.target, source: source, range: letter.place..<letter.place + 1,
                            uid: letter.uid, reason: "no", code: "no", firstAttempt: 1, lastAttempt: 1, attempts: 1,
                            bytes: [0x7B])),
                    .deadLetterRemoved(
                        DeadLetterRemoval(
                            id: id, outcome: letter.outcome, time: 2, person: "p", note: "",
                            digest: Array(repeating: 0, count: 32))),
                ])
            }
            for (number, letter) in letters.enumerated() { try await deliver(Int64(number + 1), letter) }
            let leader = ClusterBench.leader()
            let bench = try await ClusterBench(ledger, leader: leader)
            await eventually("told") { leader.keys(.delivered) == Array(keys[..<2]) }
            #expect(try await ledger.revivedLetters(target: "t0", source: source, limit: 9).isEmpty)
            let former = try await ledger.revivedLetters(target: "former", source: source, limit: 9)
            #expect(former.map(\.uid) == [uids[2]], "told when there is such a target again")
            // It goes on with what its lanes deliver, and the next process has nothing to tell twice.
            let records = ClusterRecords(count: 5)
            leader.say(records.frame(0..<5))
            await eventually("told") { Set(leader.keys(.delivered)) == Set(keys[..<2] + records.keys) }
            let last = try #require(try await ledger.toldRows().rows.last?.number)
            leader.say(.settled(term: 1, through: last))
            await eventually("forgotten") { (try? await ledger.toldRows().rows.isEmpty) == true }
            // It goes on looking while it works.
            try await deliver(Int64(letters.count + 1), ("t0", places[5], uids[5], .delivered))
            await eventually("told") { leader.keys(.delivered).last == keys[5] }
            await bench.end()
        }
    }

    @Test func nothingIsToldBeforeTheLedgerHasIt() async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader())
            await eventually("ready") { bench.worker.isReady }
            bench.sink.holds.store(true, ordering: .relaxed)
            let records = ClusterRecords(count: 10)
            bench.leader.say(records.frame(0..<10))
            await eventually("accepted") { bench.receivers[0].accepted == 10 }
            try await Task.sleep(for: .milliseconds(100))
            #expect(bench.leader.outcomes.isEmpty)
            // A refusal of the ledger costs time, and no record its row.
            bench.sink.refuses.store(true, ordering: .relaxed)
            bench.sink.holds.store(false, ordering: .relaxed)
            try await Task.sleep(for: .milliseconds(200))
            #expect(bench.leader.outcomes.isEmpty)
            bench.sink.refuses.store(false, ordering: .relaxed)
            await eventually("told") { Set(bench.leader.keys(.delivered)) == Set(records.keys) }
            #expect(bench.receivers[0].accepted == 10)
            await bench.end()
        }
    }

    /// The process dies after the commit and before the leader had its word for it.
    @Test func theNextProcessTellsAgainAndDeliversNothingTwice() async throws {
        try await Self.withLedger { ledger in
            let leader = ClusterBench.leader()
            let receiver = ClusterReceiver()
            let records = ClusterRecords(count: 40)
            let first = try await ClusterBench(ledger, leader: leader, receivers: [receiver])
            await eventually("ready") { first.worker.isReady }
            leader.say(records.frame(0..<30))
            await eventually("told") { leader.keys(.delivered).count == 30 }
            await first.end()
            leader.nextTerm()

            let second = try await ClusterBench(ledger, leader: leader, receivers: [receiver], boot: 2)
            await eventually("told again") { leader.keys(.delivered).count == 60 }
            let numbers = leader.outcomes.map(\.row)
            #expect(numbers.count == 2 * Set(numbers).count)
            // Before anything else of the session but its hello and a heartbeat.
            let told = leader.heard.drop { if case .hello(let hello) = $0 { hello.boot.high != 2 } else { true } }
            let kinds = told.prefix(8).map(\.name).filter { $0 != "heartbeat" }
            #expect(kinds.first == "hello" && kinds.dropFirst().allSatisfy { $0 == "outcomes" })
            await eventually("ready") { second.worker.isReady }
            leader.say(records.frame(0..<40, term: 2, epoch: 2))
            await eventually("the rest is told") { leader.keys(.delivered).count == 70 }
            #expect(receiver.accepted == 40 && receiver.distinct == 40)
            #expect(Set(leader.outcomes.map(\.row)).count == leader.outcomes.count - numbers.count / 2)
            await second.end()
        }
    }

    /// A target is down and the shards shall go to another worker: they are released within the bound, without a word that
    /// anything was delivered, and nothing of them leaves later.
    @Test func revokedShardsOfADeadTargetAreReleased() async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(
                ledger, leader: ClusterBench.leader(targets: 2),
                receivers: [ClusterReceiver(), ClusterReceiver()])
            bench.receivers[0].works.store(false, ordering: .relaxed)
            await eventually("ready") { bench.worker.isReady }
            let records = ClusterRecords(count: 64)
            bench.leader.say(records.frame(0..<64, targets: 3))
            await eventually("failures are told") { !bench.leader.keys(.failed).isEmpty }
            await eventually("the other target has all") { bench.leader.keys(.delivered, target: 1).count == 64 }
            let leaving = ClusterRecords.grants().filter { $0.shard < 8 }
            bench.leader.say(.revoke(term: 1, grants: leaving))
            await eventually("released", within: 10_000) { Set(bench.leader.released) == Set(leaving) }
            #expect(bench.leader.keys(.delivered).isEmpty)
            #expect(bench.worker.gauges[0].snapshot().withdrawn == 32)
            bench.receivers[0].works.store(true, ordering: .relaxed)
            await eventually("what stayed is delivered") { bench.leader.keys(.delivered).count == 32 }
            let kept = records.keys.indices.filter { records.shards[$0] >= 8 }.map { records.keys[$0] }
            #expect(Set(bench.leader.keys(.delivered)) == Set(kept) && bench.receivers[0].accepted == 32)
            #expect(bench.worker.gauges.allSatisfy { $0.snapshot().queuedBytes == 0 })
            await bench.end()
        }
    }

    /// A receiver that does not answer does not keep shards from moving; what it says later settles nothing of them.
    @Test func revokedShardsAreNotHeldByARequestWithoutAnswer() async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader())
            bench.receivers[0].hangs.store(true, ordering: .relaxed)
            await eventually("ready") { bench.worker.isReady }
            let records = ClusterRecords(count: 16)
            bench.leader.say(records.frame(0..<16))
            await eventually("a request") { bench.receivers[0].requests > 0 }
            let leaving = ClusterRecords.grants().filter { $0.shard < 8 }
            bench.leader.say(.revoke(term: 1, grants: leaving))
            await eventually("released") { Set(bench.leader.released) == Set(leaving) }
            bench.receivers[0].hangs.store(false, ordering: .relaxed)
            await eventually("what stayed is delivered") { bench.leader.keys(.delivered).count == 8 }
            try await Task.sleep(for: .milliseconds(100))
            #expect(Set(bench.leader.keys(.delivered)) == Set(records.keys[8...]))
            #expect(bench.worker.gauges[0].snapshot().withdrawn == 8)
            await bench.end()
        }
    }

    /// Without an echo the lease ends, and nothing leaves until a leader has confirmed the shards.
    @Test func aFencedWorkerSendsNothing() async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader(lease: 2_000))
            let records = ClusterRecords(count: 20)
            bench.receivers[0].works.store(false, ordering: .relaxed)
            // On a busy machine a session may be given up and made again: then the leader sends what it has not heard of.
            func say(_ term: UInt64) async {
                bench.leader.say(records.frame(0..<20, term: term, epoch: UInt32(term)))
                try? await Task.sleep(for: .milliseconds(50))
            }
            await eventually("attempts") {
                await say(1)
                return bench.receivers[0].requests > 0
            }
            let hellos = bench.leader.hellos.count
            bench.leader.setReachable(false)
            // It tries several times in half a second as long as it may.
            await eventually("it has stopped", within: 30_000) {
                let seen = bench.receivers[0].requests
                try? await Task.sleep(for: .milliseconds(500))
                return bench.receivers[0].requests == seen && bench.receivers[0].underWay == 0
            }
            bench.receivers[0].works.store(true, ordering: .relaxed)
            let before = bench.receivers[0].requests
            try await Task.sleep(for: .milliseconds(700))
            #expect(bench.receivers[0].requests == before && bench.receivers[0].accepted == 0)
            #expect(!bench.worker.isReady)

            bench.leader.nextTerm()
            bench.leader.setReachable(true)
            await eventually("delivered under the new grants") {
                await say(2)
                return Set(bench.leader.keys(.delivered)).count == 20
            }
            let claims = bench.leader.hellos[hellos].claims
            #expect(claims.map(\.grant) == ClusterRecords.grants() && claims.allSatisfy { $0.term == 1 })
            #expect(bench.receivers[0].accepted == 20)
            await bench.end()
        }
    }

    /// An encoder that waits for the ledger keeps lanes from hearing what is withdrawn. A new lease does not let that leave.
    @Test func aWorkerThatMayActAgainSendsNothingOfShardsItHasLost() async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader(lease: 2_000))
            bench.receivers[0].works.store(false, ordering: .relaxed)
            var made = ClusterRecords(count: 16)
            made.lines[15] = Array("no record\n".utf8)
            let records = made
            await eventually("attempts") {
                bench.leader.say(records.frame(0..<15))
                try? await Task.sleep(for: .milliseconds(50))
                return bench.receivers[0].requests > 0
            }
            bench.sink.holds.store(true, ordering: .relaxed)
            bench.leader.say(records.frame(15..<16))
            bench.leader.setReachable(false)
            await eventually("it has stopped", within: 30_000) {
                let seen = bench.receivers[0].requests
                try? await Task.sleep(for: .milliseconds(500))
                return bench.receivers[0].requests == seen && bench.receivers[0].underWay == 0
            }
            bench.receivers[0].works.store(true, ordering: .relaxed)
            bench.leader.setGrants(ClusterRecords.grants().filter { $0.shard < 8 })
            bench.leader.nextTerm()
            bench.leader.setReachable(true)
            await eventually("ready") { bench.worker.isReady }
            try await Task.sleep(for: .milliseconds(1_500))
            // One batch holds shards 0 to 4 alone, and these were granted anew.
            #expect(bench.receivers[0].accepted <= 5)
            bench.sink.holds.store(false, ordering: .relaxed)
            await eventually("delivered under the new grants") {
                bench.leader.say(records.frame(0..<15, term: bench.leader.term, epoch: UInt32(bench.leader.term)))
                try? await Task.sleep(for: .milliseconds(50))
                return Set(bench.leader.keys(.delivered)).count == 8
            }
            #expect(Set(bench.leader.keys(.delivered)) == Set(records.keys[..<8]) && bench.receivers[0].accepted == 8)
            await bench.end()
        }
    }

    /// A request that nobody answers does not outlive the time for which its shard is certainly this worker's; what became of
    /// it is not known, so it is sent again.
    @Test func aFencedWorkersRequestsAreCutOff() async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader(lease: 2_000))
            bench.receivers[0].hangs.store(true, ordering: .relaxed)
            let records = ClusterRecords(count: 5)
            await eventually("a request") {
                bench.leader.say(records.frame(0..<5))
                try? await Task.sleep(for: .milliseconds(50))
                return bench.receivers[0].requests > 0
            }
            let began = bench.receivers[0].requests
            #expect(bench.receivers[0].cut == 0)
            bench.leader.setReachable(false)
            await eventually("the request ends", within: 60_000) { bench.receivers[0].cut == began }
            #expect(bench.leader.keys(.delivered).isEmpty && bench.receivers[0].accepted == 0)
            bench.receivers[0].hangs.store(false, ordering: .relaxed)
            bench.leader.nextTerm()
            bench.leader.setReachable(true)
            await eventually("delivered under the new grants", within: 60_000) {
                bench.leader.say(records.frame(0..<5, term: 2, epoch: 2))
                try? await Task.sleep(for: .milliseconds(50))
                return Set(bench.leader.keys(.delivered)).count == 5
            }
            #expect(bench.receivers[0].accepted == 5)
            await bench.end()
        }
    }

    /// SIGTERM: what is in an open batch leaves first, shards go back, and the process ends before its grace period.
    @Test func aDrainedWorkerLeavesNothingBehind() async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(
                ledger, leader: ClusterBench.leader(), batch: 1_000, ageMilliseconds: 60_000)
            await eventually("ready") { bench.worker.isReady }
            let records = ClusterRecords(count: 30)
            bench.leader.say(records.frame(0..<30))
            try await Task.sleep(for: .milliseconds(100))
            #expect(bench.receivers[0].requests == 0)
            bench.leader.setSettles(true)
            bench.worker.stop(graceMilliseconds: 60_000)
            #expect(await bench.running.value && bench.worker.unsettledRows == 0)
            #expect(bench.receivers[0].accepted + bench.worker.gauges[0].snapshot().withdrawn == 30)
            #expect(bench.leader.keys(.delivered).count == bench.receivers[0].accepted)
            #expect(Set(bench.leader.released) == Set(ClusterRecords.grants()))
            #expect(bench.leader.faults.map(\.code) == [.shutdown])
        }
    }

    @Test func theGracePeriodEndsWhateverHappens() async throws {
        try await Self.withLedger { ledger in
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader())
            bench.receivers[0].works.store(false, ordering: .relaxed)
            await eventually("ready") { bench.worker.isReady }
            bench.leader.setGrants([])
            bench.leader.say(ClusterRecords(count: 30).frame(0..<30))
            await eventually("attempts") { bench.receivers[0].requests > 0 }
            bench.worker.stop(graceMilliseconds: 300)
            #expect(await bench.running.value == false)
        }
    }
}
