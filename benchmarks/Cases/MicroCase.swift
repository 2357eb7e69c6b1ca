/// One thing that is measured, alone, on one thread.
public struct MicroCase: Sendable {
    /// What a round does, so many times: records, or what the case is named after.
    public static let unitsOfRound = 1_000

    /// Lower case and hyphens: it names files.
    public let name: String
    /// Makes what a round needs. Not measured.
    public let prepare: @Sendable () async throws -> Round

    init(_ name: String, _ prepare: @escaping @Sendable () async throws -> Round) {
        self.name = name
        self.prepare = prepare
    }

    /// All of them, in the order of a record's way.
    public static let all: [MicroCase] =
        ReadingCases.all + EncodingCases.all + GzipCases.all + SigningCases.all + FrameCases.all + LedgerCases.all
}

/// What is measured, made ready.
public struct Round {
    /// ``MicroCase/unitsOfRound`` times what the case is named after. What it returns depends on all that was done, so that
    /// nothing of it can be left out.
    public enum Work {
        /// On the caller's thread.
        case plain(() throws -> Int)
        /// With another thread's help.
        case waiting(() async throws -> Int)
    }

    /// The work.
    public let work: Work
    /// Removes what was made for it.
    public let end: () async throws -> Void

    init(_ work: @escaping () throws -> Int) {
        self.work = .plain(work)
        end = {}
    }

    init(waiting work: @escaping () async throws -> Int, end: @escaping () async throws -> Void) {
        self.work = .waiting(work)
        self.end = end
    }

    /// Does the work once.
    public func run() async throws -> Int {
        switch work {
        case .plain(let work): try work()
        case .waiting(let work): try await work()
        }
    }
}

/// The case itself is wrong.
struct WrongCase: Error, CustomStringConvertible {
    let description: String
}
