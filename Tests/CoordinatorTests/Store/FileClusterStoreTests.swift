import ExportCore
import Glibc
import Model
import Protocol
import Testing
import Threading

@testable import Coordinator

@Suite struct FileClusterStoreTests {
    @Test func aLeaseIsWrittenOnlyOverTheVersionThatWasSeen() async throws {
        try await withStoreDirectory { directory in
            let (a, b) = (try FileClusterStore(directory: directory), try FileClusterStore(directory: directory))
            #expect(try await a.readLease() == LeaseState(stored: nil, highestTerm: 0))
            let first = try #require(try await a.writeLease(leaseRecord("a", 1), replacing: nil))
            #expect(try await b.writeLease(leaseRecord("b", 1), replacing: nil) == nil)
            let seen = try await b.readLease()
            #expect(seen.stored == LeaseState.Stored(record: leaseRecord("a", 1), version: first))
            let second = try #require(try await b.writeLease(leaseRecord("b", 2), replacing: first))
            #expect(try await a.writeLease(leaseRecord("a", 1, renewal: 2), replacing: first) == nil)
            #expect(second != first)
            // Deleted: its versions are not those of the next, and its term is still known.
            #expect(unsafe unlink(directory + "/lease.json") == 0)
            #expect(try await a.readLease() == LeaseState(stored: nil, highestTerm: 2))
            #expect(try await a.writeLease(leaseRecord("a", 3), replacing: second) == nil)
            let third = try #require(try await a.writeLease(leaseRecord("a", 3), replacing: nil))
            #expect(third != first && third != second)
            await a.close()
            await b.close()
        }
    }

    /// As when a file system is unmounted: what lies at the path then is empty, and not a cluster that has not begun.
    @Test func anotherDirectoryAtThePathIsNeitherReadNorWritten() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            let version = try await store.writeLease(leaseRecord("a", 1), replacing: nil)
            #expect(unsafe rename(directory, directory + ".away") == 0)
            #expect(unsafe mkdir(directory, 0o755) == 0)
            let refusals = [
                await #expect(throws: StoreError.self) { try await store.readLease() },
                await #expect(throws: StoreError.self) {
                    try await store.writeLease(leaseRecord("a", 1, renewal: 2), replacing: version)
                },
                await #expect(throws: StoreError.self) { try await store.readGate() },
                await #expect(throws: StoreError.self) {
                    try await store.write([], fence: Fence(holder: "a", term: 1))
                },
            ]
            #expect(refusals.allSatisfy { $0?.kind == .unusable && $0?.description.contains("unmounted") == true })
            #expect(try StoreDirectory.names(directory).sorted() == [".", ".."])
            #expect(unsafe rmdir(directory) == 0)
            #expect(unsafe rename(directory + ".away", directory) == 0)
            #expect(try await store.readLease().stored?.version == version)
            await store.close()
        }
    }

    /// Many writers count together: each one's write replaces what it saw, so no count is lost.
    @Test func contendersLoseNoWrite() async throws {
        try await withStoreDirectory { directory in
            let stores = try (0..<4).map { _ in try FileClusterStore(directory: directory, lockMilliseconds: 20_000) }
            _ = try await stores[0].writeLease(leaseRecord("x", 1, renewal: 0), replacing: nil)
            let written = try await withThrowingTaskGroup(of: Int.self) { group in
                for store in stores {
                    group.addTask {
                        var done = 0
                        while done < 25 {
                            guard let seen = try await store.readLease().stored else { continue }
                            let next = leaseRecord("x", 1, renewal: seen.record.renewal + 1)
                            if try await store.writeLease(next, replacing: seen.version) != nil { done += 1 }
                        }
                        return done
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(try await stores[0].readLease().stored?.record.renewal == UInt64(written))
            for store in stores { await store.close() }
        }
    }

    @Test func anUnreadableLeaseIsWaitedOutAndReplaced() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            try await store.lead("a", 4)
            for text in ["", "{", "null", #"{"holderIdentity":"a"}"#] {
                put(Array(text.utf8), at: directory + "/lease.json")
                let state = try await store.readLease()
                #expect(state.highestTerm == 4 && state.stored?.record.holder == LeaseRecord.vacant)
                #expect(try await store.writeLease(leaseRecord("b", 5), replacing: nil) == nil)
                #expect(try await store.readLease() == state)
            }
            try await store.lead("b", 5)
            #expect(try await store.readLease().stored?.record == leaseRecord("b", 5))
            await store.close()
        }
    }

    @Test func aChangeOfTheLeaseIsNoticedSoon() async throws {
        try await withStoreDirectory { directory in
            let (a, b) = (try FileClusterStore(directory: directory), try FileClusterStore(directory: directory))
            try await a.lead("a", 1)
            let version = try await b.readLease().stored?.version
            #expect(await b.waitForLeaseChange(since: version, milliseconds: 60) == false)
            async let change = b.waitForLeaseChange(since: version, milliseconds: 30_000)
            let begun = SystemClock.now()
            try await a.lead("", 1)
            #expect(await change)
            #expect(SystemClock.now().milliseconds(since: begun) < 10_000)
            await a.close()
            await b.close()
        }
    }

    @Test func theLockIsWaitedForButNotForEver() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory, lockMilliseconds: 100)
            let fence = try await store.lead("a", 1)
            let lock = unsafe open(directory + "/.lock", O_RDWR | O_CLOEXEC)
            #expect(flock(lock, LOCK_EX) == 0)
            let begun = SystemClock.now()
            #expect(await refusal { _ = try await store.writeLease(leaseRecord("b", 2), replacing: nil) } == .busy)
            // Another descriptor, so it is one to be waited for, though it is our own process.
            let words = try #require(LockHolder.find(descriptor: lock)).words
            #expect(words.hasPrefix(", process \(getpid()) (") && words.contains("hangs"))
            await #expect(throws: StoreError.self) { try await store.takeOver(fence: fence, targets: ["t"]) }
            #expect(SystemClock.now().milliseconds(since: begun) >= 200)
            // Reading needs no lock.
            #expect(try await store.readLease().stored?.record.holder == "a")
            close(lock)
            _ = try await store.takeOver(fence: fence, targets: ["t"])
            // Whoever removes the file does not let two in.
            #expect(unsafe unlink(directory + "/.lock") == 0)
            try await store.lead("b", 2)
            var status = stat()
            #expect(unsafe stat(directory + "/.lock", &status) == 0)
            await store.close()
        }
    }

    @Test func onlyTheLeaderOfTheTermWritesTheGate() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            let fence = try await store.lead("a", 3)
            #expect(try await store.readGate() == nil)
            var open = GateRecord(
                version: .init(term: 3, sequence: 1), holder: "a", durationSeconds: 45, state: .open,
                reason: "works \"well\"", since: 17,
                episode: Episode(id: .init(term: 2, number: 1), since: 5, cause: "é"), ended: .init(term: 1, number: 9))
            #expect(try await store.writeGate(open, fence: fence, before: .far) == nil)
            var read = try #require(try await store.readGate())
            let renewal = try #require(read.renewed)
            #expect(SystemClock.unixMilliseconds() - Int64(renewal) < 600_000)
            read.renewed = nil
            #expect(read == open)
            let text = String(decoding: contents(directory + "/gate.json") ?? [], as: UTF8.self)
            #expect(text.contains(#""holderIdentity":"a""#) && text.contains(#""leaseDurationSeconds":45"#))
            let renewed = try #require(text.firstRange(of: #"renewTime":"20"#))
            // An older version is refused with the newer one; a closed one keeps the time of the last renewal.
            open.version.sequence = 0
            #expect(try await store.writeGate(open, fence: fence, before: .far)?.version.sequence == 1)
            open.version.sequence = 2
            open.holder = ""
            #expect(try await store.writeGate(open, fence: fence, before: .far) == nil)
            let closed = String(decoding: contents(directory + "/gate.json") ?? [], as: UTF8.self)
            #expect(closed.contains(text[renewed.lowerBound...].prefix(40)))
            try await store.lead("b", 4)
            open.version.sequence = 3
            #expect(await refusal { _ = try await store.writeGate(open, fence: fence, before: .far) } == .fenced)
            #expect(try await store.readGate()?.version.sequence == 2)
            await store.close()
        }
    }

    /// Members that an earlier release does not know, and a state; what it writes does without.
    @Test func filesOfALaterReleaseAreReadAsFarAsTheyAreKnown() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            var fence = try await store.lead("a", 3)
            let record = GateRecord(
                version: .init(term: 3, sequence: 7), holder: "a", durationSeconds: 45, state: .open, reason: "",
                since: 17, episode: nil, ended: .init(term: 1, number: 9))
            #expect(try await store.writeGate(record, fence: fence, before: .far) == nil)
            for (file, known, later) in [
                (
                    "gate.json", #"gate-state":"open""#,
                    #"gate-state":"cautious","export.sidereal.cloud/mood":{"x":[1]}"#
                ),
                ("lease.json", #"{"holder"#, #"{"mood":"wary","holder"#),
                ("highest-term.json", #"{"highest"#, #"{"mood":{},"highest"#),
            ] {
                let text = String(decoding: contents("\(directory)/\(file)") ?? [], as: UTF8.self)
                #expect(text.contains(known), "\(file)")
                put(Array(text.replacing(known, with: later).utf8), at: "\(directory)/\(file)")
            }
            let found = try #require(try await store.readGate())
            #expect(found.state == .unknown && found.isOpen && found.renewed != nil)
            #expect(found.version == record.version && found.ended == record.ended)
            let lease = try await store.readLease()
            #expect(lease.stored?.record == leaseRecord("a", 3) && lease.highestTerm == 3)
            // An earlier release takes over.
            fence = try await store.lead("b", 4)
            var next = record
            (next.holder, next.version) = ("b", .init(term: 4, sequence: 8))
            #expect(try await store.writeGate(next, fence: fence, before: .far) == nil)
            let text = String(decoding: contents(directory + "/gate.json") ?? [], as: UTF8.self)
            #expect(text.contains(#"gate-state":"open""#) && !text.contains("mood"))
            await store.close()
        }
    }

    /// A renewal that waited behind the lock, or in a process that was stopped, until its time was over.
    @Test func aGateThatIsWrittenTooLateIsNotWritten() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory, lockMilliseconds: 60_000)
            let fence = try await store.lead("a", 3)
            let record = GateRecord(
                version: .init(term: 3, sequence: 1), holder: "a", durationSeconds: 45, state: .open, reason: "",
                since: 17, episode: nil, ended: nil)
            let lock = unsafe open(directory + "/.lock", O_RDWR | O_CLOEXEC)
            #expect(flock(lock, LOCK_EX) == 0)
            let deadline = SystemClock.now().adding(milliseconds: 200)
            async let writing = refusal { _ = try await store.writeGate(record, fence: fence, before: deadline) }
            while SystemClock.now() < deadline { try await Task.sleep(for: .milliseconds(20)) }
            close(lock)
            #expect(await writing == .late)
            #expect(try await store.readGate() == nil)
            #expect(try await store.writeGate(record, fence: fence, before: .far) == nil)
            #expect(try await store.readGate()?.version == record.version)
            await store.close()
        }
    }

    @Test func anAlertIsRaisedOnceAndKeepsWhatAPersonWrote() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            let fence = try await store.lead("a", 1)
            let alert = SystemAlert(name: "siem-export-degraded-x-1-1-1", message: "nothing \"goes\"\n")
            #expect(try await store.createAlert(alert, fence: fence) == alert)
            #expect(try await store.readAlerts() == [alert])
            let file = directory + "/alerts/\(alert.name).json"
            var text = String(decoding: contents(file) ?? [], as: UTF8.self)
            #expect(text.contains(#""reason":"SIEMExportDegraded""#))
            text.replace(
                #""acknowledged":false"#,
                with:
                    #""acknowledged":true,"acknowledgedBy":"jane","acknowledgedAt":"2026-01-01T00:00:00Z","remediationAction":"rebooted""#
            )
            put(Array(text.utf8), at: file)
            let read = try #require(try await store.readAlert(name: alert.name))
            #expect(read.isAcknowledgedByPerson && read.message == alert.message)
            // Raised again by a leader that does not know: what is there stays, also for one that is fenced.
            #expect(try await store.createAlert(alert, fence: fence) == read)
            #expect(contents(file) == Array(text.utf8))
            try await store.lead("b", 2)
            #expect(
                await refusal { _ = try await store.createAlert(SystemAlert(name: "other", message: ""), fence: fence) }
                    == .fenced)
            put(Array("{".utf8), at: directory + "/alerts/torn.json")
            #expect(try await store.readAlert(name: "torn") == nil)
            for name in ["", "../lease", ".x", "a/b"] {
                await #expect(throws: StoreError.self) { try await store.readAlert(name: name) }
            }
            // Nor does anything else that lies there hinder.
            put(Array(repeating: 0x20, count: 2 << 20), at: directory + "/alerts/somebody-s.json")
            #expect(try await store.readAlerts() == [read])
            await store.close()
        }
    }
}
