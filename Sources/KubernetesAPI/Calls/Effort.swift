import HTTPClient
import Model

/// How one call goes on after each answer. Pure.
struct Effort {
    /// More answers of 429 than this are not waited out.
    static let maxWaits = 10
    /// Where a 429 does not say how long.
    static let defaultWait: UInt64 = 1_000

    private let call: APICall
    private let deadline: Tick
    private var waits = 0
    private var renewed = false

    init(_ call: APICall, now: Tick) {
        self.call = call
        deadline = now.adding(milliseconds: call.milliseconds)
    }

    enum Step {
        /// The answer is what was asked for.
        case done
        /// Wait so long, and send again: the server has done nothing.
        case wait(milliseconds: UInt64)
        /// Send again with another credential, if there is one; else the failure stands.
        case renew(APIFailure)
        case fail(APIFailure)
    }

    /// Milliseconds that are left.
    func left(now: Tick) -> UInt64 { deadline.milliseconds(since: now) }

    /// What an answer leads to. Only what says by itself that nothing was done is sent again.
    mutating func took(_ response: HTTPResponse, now: Tick, rng: inout PRNG) -> Step {
        guard let failure = APIVerdict.failure(call, response) else { return .done }
        switch failure.kind {
        case .unauthorized where !renewed:
            renewed = true
            return .renew(failure)
        case .throttled where waits < Self.maxWaits:
            waits += 1
            let floor = failure.retryAfter ?? Self.defaultWait
            // All of them coming back at once is what the server has just refused.
            let wait = floor + rng.below(floor / 2 + 250)
            return wait < left(now: now) ? .wait(milliseconds: wait) : .fail(failure)
        default: return .fail(failure)
        }
    }
}
