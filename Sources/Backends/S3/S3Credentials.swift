import ExportCore
import Model

/// Credentials as a source gave them.
struct FetchedCredentials: Sendable {
    var credentials: AWSCredentials
    /// Milliseconds from now.
    var lifetimeMilliseconds: UInt64
}

/// Credentials that expire: fetched once for all requests that need them, renewed in time.
actor S3Credentials {
    typealias Fetch = @Sendable () async throws(Refusal) -> FetchedCredentials

    private let fetch: Fetch
    private let now: @Sendable () -> Tick
    private let warn: @Sendable (Reason) -> Void
    private var refresh = CredentialRefresh()
    private var rng: PRNG
    private var held: AWSCredentials?
    private var fetching: Task<Result<AWSCredentials, Refusal>, Never>?

    init(
        seed: UInt64, now: @escaping @Sendable () -> Tick, warn: @escaping @Sendable (Reason) -> Void,
        fetch: @escaping Fetch
    ) {
        self.fetch = fetch
        self.now = now
        self.warn = warn
        rng = PRNG(seed: seed)
    }

    /// Valid ones.
    func current() async throws(Refusal) -> AWSCredentials {
        var isHeldValid = false
        for effect in refresh.handle(.wanted, now: now(), rng: &rng) {
            switch effect {
            case .fetch: start()
            case .use: isHeldValid = true
            case .wait, .warn: break
            }
        }
        if isHeldValid, let held { return held }
        guard let fetching else { throw Refusal(verdict: .retry(Self.gone, retryAfterMilliseconds: nil)) }
        return try await fetching.value.get()
    }

    /// The receiver refused `used`: they are not used again.
    func reject(_ used: AWSCredentials) {
        guard used == held else { return }
        _ = refresh.handle(.rejected, now: now(), rng: &rng)
    }

    private static let gone = Reason(code: "credentials", message: "the credentials ended while they were renewed")

    private func start() {
        fetching = Task {
            let result: Result<FetchedCredentials, Refusal>
            do throws(Refusal) {
                result = .success(try await fetch())
            } catch {
                result = .failure(error)
            }
            return finish(result)
        }
    }

    private func finish(_ result: Result<FetchedCredentials, Refusal>) -> Result<AWSCredentials, Refusal> {
        fetching = nil
        switch result {
        case .success(let fetched):
            held = fetched.credentials
            let event = CredentialRefresh.Event.fetched(lifetimeMilliseconds: fetched.lifetimeMilliseconds)
            _ = refresh.handle(event, now: now(), rng: &rng)
            return .success(fetched.credentials)
        case .failure(let refusal):
            let effects = refresh.handle(.failed, now: now(), rng: &rng)
            if effects.contains(.warn), let reason = refusal.reason {
                warn(Reason(code: reason.code, message: "still using the old credentials: \(reason.message)"))
            }
            return .failure(refusal)
        }
    }
}
