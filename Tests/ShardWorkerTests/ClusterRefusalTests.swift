import Ledger
import Model
import Protocol
import Synchronization
import Testing

@testable import ShardWorker

/// What a worker does not take: records that are none, and leaders that do not keep to the rules.
@Suite struct ClusterRefusalTests {
    /// A line that is no record is a dead letter once, and a fact for every target.
    @Test func aBadRecordIsADeadLetterForAllTargets() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            var records = ClusterRecords(count: 9)
            records.lines[4] = Array("no record\n".utf8)
            for boot in 1...2 as ClosedRange<UInt64> {
                let leader = ClusterBench.leader(targets: 2)
                let bench = try await ClusterBench(
                    ledger, leader: leader, receivers: [ClusterReceiver(), ClusterReceiver()], boot: boot)
                await eventually("ready") { bench.worker.isReady }
                leader.say(records.frame(0..<9, targets: 3))
                for target in 0..<2 as Range<UInt8> {
                    await eventually("told") { leader.keys(.dead, target: target).contains(records.keys[4]) }
                    await eventually("the others too") { leader.keys(.delivered, target: target).count == 8 }
                    #expect(leader.keys(.dead, target: target) == [records.keys[4]])
                    #expect(bench.receivers[Int(target)].accepted == 8)
                }
                // The leader has it, so the next process is sent everything again, and finds its letter.
                leader.say(.settled(term: 1, through: try #require(leader.outcomes.last?.row)))
                await eventually("forgotten") { (try? await ledger.toldRows().rows.isEmpty) == true }
                await bench.end()
                let letters = try await ledger.deadLetters(limit: 9)
                #expect(letters.map(\.bytes) == [Array("no record".utf8)] && letters.map(\.target) == [""])
                #expect(letters[0].code == "invalid-record")
            }
            try await ledger.close()
        }
    }

    @Test(
        arguments: [
            (Array("{}\n{}\n".utf8), [6]), (Array("{}\n{}\n".utf8), [2, 4]), (Array("{}\n{}".utf8), [3, 2]),
            (Array("{}{}\n".utf8), [2, 3]),
        ] as [([UInt8], [UInt32])])
    func recordsThatAreNotLinesEndTheSession(bytes: [UInt8], lengths: [UInt32]) async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader())
            await eventually("ready") { bench.worker.isReady }
            let keys = lengths.indices.map { RecordKey(high: 0, low: UInt64($0)) }
            bench.leader.say(
                .records(
                    RecordsFrame(
                        term: 1, targets: 1, keys: keys, grants: keys.map { _ in ShardGrant(shard: 0, epoch: 1) },
                        lengths: lengths, bytes: SealedBytes(bytes))))
            await eventually("refused") { bench.leader.faults.first?.code == .malformed }
            // It comes back, with nothing of that in hand.
            await eventually("back") { bench.leader.hellos.count >= 2 && bench.worker.isReady }
            #expect(bench.receivers[0].requests == 0 && bench.leader.outcomes.isEmpty)
            await bench.end()
            try await ledger.close()
        }
    }

    /// A full disk costs the worker its shards, not everybody the gate.
    @Test func aLedgerThatTakesNothingEndsTheSessionUntilItDoes() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader(lease: 5_000))
            await eventually("ready") { bench.worker.isReady }
            bench.sink.refuses.store(true, ordering: .relaxed)
            bench.leader.say(ClusterRecords(count: 5).frame(0..<5))
            await eventually("it leaves") {
                bench.leader.faults.contains { $0.message.contains("ledger has taken nothing") }
            }
            let hellos = bench.leader.hellos.count
            // Longer than any pause between attempts to connect.
            try await Task.sleep(for: .milliseconds(3_500))
            #expect(bench.leader.hellos.count == hellos && bench.leader.outcomes.isEmpty)
            bench.sink.refuses.store(false, ordering: .relaxed)
            await eventually("told in a new session") { bench.leader.keys(.delivered).count == 5 }
            #expect(bench.leader.hellos.count > hellos && bench.receivers[0].accepted == 5)
            await bench.end()
            try await ledger.close()
        }
    }

    @Test func garbageEndsTheSessionAndNotTheProcess() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader())
            await eventually("ready") { bench.worker.isReady }
            bench.leader.say(bytes: [0, 0, 0, 8, 1, 8, 0, 0, 1, 2, 3, 4])
            await eventually("refused") { !bench.leader.faults.isEmpty }
            await eventually("back") { bench.leader.hellos.count >= 2 && bench.worker.isReady }
            bench.leader.say(ClusterRecords(count: 5).frame(0..<5))
            await eventually("works on") { bench.leader.keys(.delivered).count == 5 }
            await bench.end()
            try await ledger.close()
        }
    }

    /// Health is what the gate judges by.
    @Test func heartbeatsTellHowTargetsFare() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let bench = try await ClusterBench(ledger, leader: ClusterBench.leader(lease: 4_000))
            await eventually("ready") { bench.worker.isReady }
            let records = ClusterRecords(count: 20)
            bench.leader.say(records.frame(0..<10))
            await eventually("successes") { (bench.leader.health.first?.successes ?? 0) > 0 }
            await eventually("delivered") { bench.leader.health.first?.delivered == 10 }
            #expect(bench.leader.health.first?.oldestMilliseconds == nil)
            bench.receivers[0].works.store(false, ordering: .relaxed)
            bench.leader.say(records.frame(10..<20))
            await eventually("failures") {
                guard let health = bench.leader.health.first else { return false }
                return health.consecutiveFailures > 2 && health.breaker != .closed && health.reason.contains("down")
                    && health.attempts > health.successes && health.oldestMilliseconds != nil && health.queuedBytes > 0
                    && health.latencyMicroseconds > 1_000
            }
            await bench.end()
            try await ledger.close()
        }
    }
}
