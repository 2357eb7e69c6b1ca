import Glibc
import Model
import Testing

@testable import Coordinator
@testable import ExportCore

/// Changes of the gate, written down in the store's directory.
@Suite struct GateLogTests {
    private func change(_ number: UInt64, cause: String = "b \"c\"\n") -> ExportGate.Transition {
        ExportGate.Transition(
            from: .open, to: number.isMultiple(of: 2) ? .degraded : .recovering, cause: cause, kinds: [],
            episode: .init(term: 2, number: UInt32(number)), term: 3, wallMilliseconds: 1_700_000_000_000 + number)
    }

    @Test func changesOutlastTheirCoordinatorAndAreSeenByTheOthers() async throws {
        try await withStoreDirectory { directory in
            let (first, other) = (
                try FileClusterStore(directory: directory), try FileClusterStore(directory: directory)
            )
            #expect(try await other.recorded() == [])
            try await first.lead("a", 3)
            try await first.tell(change(1), holder: "a")
            try await first.tell(change(2), holder: "a")
            // It is told until it is known to be there.
            try await first.tell(change(1), holder: "a")
            #expect(try await other.recorded() == [GateChange(change(1)), GateChange(change(2))])
            let text = String(decoding: contents(directory + "/gate.log") ?? [], as: UTF8.self)
            #expect(text.contains(#""time":"2023-11-14T22:13:20.001Z","term":3,"from":"open","to":"recovering""#))
            #expect(text.contains(#""cause":"b \"c\"\n","episode":"2-1"}"#))
            // Who was replaced may tell what it decided, and what is no line of ours costs no other.
            put(Array("{\"time\":\n".utf8) + Array(text.utf8) + Array("{\"torn".utf8), at: directory + "/gate.log")
            try await other.lead("b", 4)
            try await first.tell(change(3), holder: "a")
            try await other.tell(change(4), holder: "b")
            #expect(try await first.recorded()?.map(\.episode) == ["2-1", "2-2", "2-3", "2-4"])
            await first.close()
            await other.close()
        }
    }

    /// A gate that changes all the time fills no disk.
    @Test func onlyTheLastChangesAreKept() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            try await store.lead("a", 3)
            let cause = String(repeating: "x", count: 15_000)
            var most = 0
            for number in 0..<160 as Range<UInt64> {
                try await store.tell(change(number, cause: cause), holder: "a")
                most = max(most, contents(directory + "/gate.log")?.count ?? 0)
            }
            #expect(most > GateLane.maxChangeBytes / 2 && most <= GateLane.maxChangeBytes)
            let last = (128..<160 as Range<UInt64>).map { GateChange(change($0, cause: cause)) }
            #expect(try await store.recorded() == last)
            await store.close()
        }
    }

    @Test func whatCouldNotBeRecordedIsShownInItsPlace() {
        let all = (0..<40 as Range<UInt64>).map { GateChange(change($0)) }
        #expect(GateChange.merged([all[0], all[2]], [all[1], all[2]]) == [all[0], all[1], all[2]])
        #expect(GateChange.merged(Array(all[8...]), [all[1], all[39]]) == Array(all[8...]))
    }
}
