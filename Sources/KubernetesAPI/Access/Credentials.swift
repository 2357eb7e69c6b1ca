import Glibc
import HTTPClient
import Model
import Secrets
import Threading

/// What goes with a request to say who asks.
struct Credential: Sendable, Equatable {
    var token: Secret?
    var certificate: SealedBytes?
    var key: Secret?

    static func == (a: Credential, b: Credential) -> Bool {
        a.token == b.token && a.key == b.key && a.certificate?.array == b.certificate?.array
    }
}

/// When a credential is to be fetched anew. Pure.
struct CredentialLife: Sendable {
    /// Of a file; a refused one is read again at once.
    static let fileMilliseconds: UInt64 = 2_000
    /// A plugin is not run again for a refusal if it ran this lately: what it gives is not going to be another.
    static let refusalMilliseconds: UInt64 = 10_000
    /// Before its end, so that what is sent with it arrives before it; at most a quarter of its life.
    static let earlyMilliseconds: Int64 = 60_000

    /// When it came.
    var fetched: Tick
    /// The time of day then, and at its end; nil: it has none that is known.
    var fetchedAt: Int64
    var expires: Int64?

    /// Whether a plugin's should be replaced.
    func isDue(unixMilliseconds now: Int64) -> Bool {
        guard let expires else { return false }
        return now >= expires - min(Self.earlyMilliseconds, max(0, (expires - fetchedAt) / 4))
    }

    /// Whether a plugin's is certainly over.
    func isOver(unixMilliseconds now: Int64) -> Bool { expires.map { now >= $0 } ?? false }

    /// Whether a plugin may be run for a refusal.
    func mayRenew(now: Tick, after milliseconds: UInt64 = Self.refusalMilliseconds) -> Bool {
        now.milliseconds(since: fetched) >= milliseconds
    }
}

/// Holds the credential of a user and fetches it anew: a file's as it rotates, a plugin's before it ends.
actor Credentials {
    /// A credential, and which one in the order they came.
    struct Issue: Sendable {
        var credential: Credential
        var number: UInt64
    }

    private let user: ClusterUser
    private let pluginMilliseconds: UInt64
    private let refusalMilliseconds: UInt64
    private var held: (issue: Issue, life: CredentialLife)?
    /// Never given twice, also when nothing is held: a late refusal of the first must not be taken for one of the second.
    private var lastNumber: UInt64 = 0
    /// Of a token file, the last that the server took for nobody's.
    private var refused: UInt64?
    private var isRunning = false
    /// Who waits for the plugin.
    private var waiters: [UInt64: CheckedContinuation<Result<Issue, AccessError>, Never>] = [:]
    private var lastWaiter: UInt64 = 0

    /// - Parameters:
    ///   - pluginMilliseconds: how long a plugin may take.
    ///   - refusalMilliseconds: how long after a run of the plugin it is not run again for a refusal.
    init(
        _ user: ClusterUser, pluginMilliseconds: UInt64 = 30_000,
        refusalMilliseconds: UInt64 = CredentialLife.refusalMilliseconds
    ) {
        self.user = user
        self.pluginMilliseconds = pluginMilliseconds
        self.refusalMilliseconds = refusalMilliseconds
    }

    /// The credential as of now. A plugin is waited for no longer than `within` says; it may be done for the next who asks.
    func current(within milliseconds: UInt64) async throws(AccessError) -> Issue {
        switch user {
        case .certificateOnly: return Issue(credential: Credential(), number: 0)
        case .token(let token): return Issue(credential: Credential(token: token), number: 0)
        case .tokenFile(let path):
            if let held, SystemClock.now().milliseconds(since: held.life.fetched) < CredentialLife.fileMilliseconds {
                return held.issue
            }
            do throws(AccessError) {
                return try readToken(path)
            } catch {
                // Perhaps in the midst of a rotation; the server takes the token before until it says otherwise.
                if let held, held.issue.number != refused { return held.issue }
                throw error
            }
        case .plugin(let plugin):
            let now = SystemClock.unixMilliseconds()
            if let held, !held.life.isDue(unixMilliseconds: now) { return held.issue }
            do throws(AccessError) {
                return try await ask(plugin, within: milliseconds)
            } catch {
                // It is good for a little longer, and the plugin may work then.
                if let held, !held.life.isOver(unixMilliseconds: now) { return held.issue }
                throw error
            }
        }
    }

    /// The server took `number` for nobody's; whether there may be a better one now.
    func wasRefused(_ number: UInt64) -> Bool {
        // Others had it too, and the first of them has seen to it.
        if number < lastNumber { return true }
        switch user {
        case .certificateOnly, .token: return false
        case .tokenFile(let path):
            refused = number
            return (try? readToken(path)).map { $0.number != number } ?? false
        case .plugin:
            guard let held else { return true }
            guard held.life.mayRenew(now: SystemClock.now(), after: refusalMilliseconds) else { return false }
            self.held = nil
            return true
        }
    }

    private func keep(_ credential: Credential, expires: Int64? = nil) -> Issue {
        if held?.issue.credential != credential { lastNumber += 1 }
        let issue = Issue(credential: credential, number: lastNumber)
        held = (
            issue,
            CredentialLife(
                fetched: SystemClock.now(), fetchedAt: SystemClock.unixMilliseconds(), expires: expires)
        )
        return issue
    }

    private func readToken(_ path: String) throws(AccessError) -> Issue {
        do throws(SecretError) {
            if let token = try SecretFile.read(path: path) { return keep(Credential(token: token)) }
        } catch {
            throw AccessError(.unreadable, "\(error)")
        }
        throw AccessError(
            .missing,
            "the token file \(path) is not there; is the service account still mounted, or the kubeconfig's"
                + " tokenFile right?")
    }

    /// One run for all who ask meanwhile.
    private func ask(_ plugin: ExecPlugin, within milliseconds: UInt64) async throws(AccessError) -> Issue {
        if !isRunning {
            isRunning = true
            let most = pluginMilliseconds
            Task { self.ran(await plugin.run(milliseconds: most)) }
        }
        lastWaiter += 1
        let id = lastWaiter
        let timer = Task {
            guard (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil else { return }
            self.giveUp(
                id,
                AccessError(
                    .late,
                    "the exec plugin \(plugin.command) has not answered within the \(milliseconds) ms that there were for it;"
                        + " does it wait for somebody?"))
        }
        defer { timer.cancel() }
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waiters[id] = continuation
                if Task.isCancelled { giveUp(id, Self.cancelled) }
            }
        } onCancel: {
            Task { await self.giveUp(id, Self.cancelled) }
        }
        return try outcome.get()
    }

    private static let cancelled = AccessError(.cancelled, "the task was cancelled while an exec plugin ran")

    private func giveUp(_ id: UInt64, _ error: AccessError) {
        waiters.removeValue(forKey: id)?.resume(returning: .failure(error))
    }

    private func ran(_ outcome: Result<ExecCredential, AccessError>) {
        isRunning = false
        let issue = outcome.map { fresh in
            keep(
                Credential(
                    token: fresh.token, certificate: fresh.certificate.map { SealedBytes($0) }, key: fresh.key),
                expires: fresh.expires)
        }
        for waiter in waiters.values { waiter.resume(returning: issue) }
        waiters = [:]
    }
}

extension ExecPlugin {
    /// Runs the program on a thread of its own.
    func run(milliseconds: UInt64) async -> Result<ExecCredential, AccessError> {
        guard let path = ExecProcess.find(command, path: ClusterAccess.environment("PATH") ?? "/usr/bin:/bin") else {
            let hint = installHint.isEmpty ? "install it, or give another --context" : installHint
            return .failure(
                AccessError(.plugin, "the exec plugin \(command) is not there, or may not be executed; \(hint)"))
        }
        let process = ExecProcess(
            path: path, arguments: arguments, environment: environment(), milliseconds: milliseconds)
        let outcome = await withCheckedContinuation { continuation in
            let started = SystemThread.start { continuation.resume(returning: process.run()) }
            switch started {
            case .success(let thread): pthread_detach(thread)
            case .failure(let error):
                continuation.resume(returning: ExecProcess.Outcome(startError: error.code))
            }
        }
        do throws(AccessError) {
            return .success(try credential(outcome, milliseconds: milliseconds))
        } catch {
            return .failure(error)
        }
    }

    /// What the run gave. Pure.
    func credential(_ outcome: ExecProcess.Outcome, milliseconds: UInt64) throws(AccessError) -> ExecCredential {
        func trouble(_ what: String) -> AccessError {
            AccessError(.plugin, "the exec plugin \(command) \(what)")
        }
        guard outcome.startError == 0 else {
            throw trouble("cannot be started: \(systemErrorText(outcome.startError))")
        }
        if outcome.timedOut {
            throw trouble("took longer than \(milliseconds) ms and was ended; does it wait for somebody?")
        }
        if outcome.tooLong { throw trouble("wrote more than \(ExecProcess.maxOutputBytes) bytes and was ended") }
        guard let status = outcome.status, status == 0 else {
            let status = outcome.status ?? 0
            throw trouble(
                (status & 0x7F == 0 ? "failed with exit code \(status >> 8)" : "was ended by signal \(status & 0x7F)")
                    + "; run it by hand to see why")
        }
        return try ExecCredential(outcome.output, of: self)
    }

    /// Ours, with what the kubeconfig adds, and what the program is to know. As in env(7), the last of two counts; so the
    /// earlier is left out.
    private func environment() -> [String] {
        var values: [String: String] = [:]
        var at = unsafe environ
        while let entry = unsafe at.pointee {
            let text = unsafe String(cString: entry)
            if let mark = text.firstIndex(of: "=") {
                values[String(text[..<mark])] = String(text[text.index(after: mark)...])
            }
            unsafe at += 1
        }
        for variable in variables { values[variable.name] = variable.value.reveal() }
        values["KUBERNETES_EXEC_INFO"] = info
        return values.map { "\($0.key)=\($0.value)" }.sorted()
    }
}
