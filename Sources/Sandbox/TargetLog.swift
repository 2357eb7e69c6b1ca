internal import Model
internal import NIOCore
internal import Synchronization

/// What one look-alike keeps: counters, identities and the plan of its faults, under one lock.
final class TargetLog: Sendable {
    struct State {
        var stats = SandboxTargetStats()
        var plan: FaultPlan
        /// Identities by index; HEC has one index only, the empty name.
        var identities: [String: IdentityLog] = [:]
        var remembered = 0
        var acknowledgement = HECAcknowledgement()
        var arrivals = Arrivals()
        let bound: Int

        /// Notes that a record with `identity` was stored, or was there already.
        mutating func note(_ identity: String, index: String) -> IdentityLog.Arrival {
            // Without room for more, an index that is not known yet must not grow the dictionary either.
            if identities[index] == nil {
                guard remembered < bound else {
                    stats.idsNotRemembered += 1
                    return .notRemembered
                }
                identities[index] = IdentityLog()
            }
            let arrival = identities[index]?.note(identity, mayGrow: remembered < bound) ?? .notRemembered
            switch arrival {
            case .first:
                remembered += 1
                stats.uniqueIDs += 1
            case .repeated: stats.duplicates += 1
            case .notRemembered: stats.idsNotRemembered += 1
            }
            return arrival
        }
    }

    private let state: Mutex<State>

    init(_ options: SandboxOptions, now: Tick, seed: UInt64) {
        state = Mutex(
            State(plan: FaultPlan(options.faults, seed: seed, now: now), bound: options.maxIdentities))
    }

    func update<R>(_ body: (inout State) -> sending R) -> sending R {
        state.withLock { body(&$0) }
    }

    /// Notes records that were counted and not remembered.
    func count(records: Int, bytes: Int, _ delays: DelayCounts) {
        let now = NIODeadline.now().uptimeNanoseconds
        update { state in
            state.stats.recordsReceived += records
            state.stats.bytesUncompressed += bytes
            if records > 0 { state.arrivals.note(delays, at: now) }
        }
    }

    var stats: SandboxTargetStats { update { $0.stats } }
    var faults: SandboxFaults { update { $0.plan.faults } }

    /// Counts a request and decides its fate.
    func admit(carriesRecords: Bool, isPoll: Bool, bytes: Int, now: Tick) -> FaultPlan.Decision {
        update { state in
            state.stats.requests += 1
            state.stats.bytes += bytes
            let decision = state.plan.decide(carriesRecords: carriesRecords, isPoll: isPoll, now: now)
            switch decision {
            case .serve: break
            case .refuse: state.stats.failuresInjected += 1
            case .reset, .commitThenReset: state.stats.resetsInjected += 1
            }
            return decision
        }
    }
}
