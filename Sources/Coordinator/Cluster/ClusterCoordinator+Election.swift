import ExportCore
import Logging
import Model
import PeerTransport
import Protocol
import Threading

/// The lease: when this process leads, and when not any more.
extension ClusterCoordinator {
    /// Gives the election an event and does what it says.
    func elect(_ event: LeaderElection.Event) {
        for effect in election.handle(event, now: SystemClock.now(), rng: &rng) {
            switch effect {
            case .read(let id): Task { await self.readLease(id) }
            case .write(let id, let record, let version): Task { await self.writeLease(id, record, version) }
            case .lead(let number): begin(number)
            case .stepDown(let number, let reason):
                log.notice("this coordinator leads no more: \(reason)", metadata: ["term": "\(number)"])
                endTerm("\(reason)")
            case .follow(let leader): follow(leader)
            case .finished: break
            }
        }
        hurry()
    }

    private func readLease(_ id: UInt64) async {
        do throws(StoreError) {
            let state = try await stores.lease.readLease()
            if state.stored?.version != leaseVersion { leaseSeen = SystemClock.now() }
            leaseVersion = state.stored?.version
            hasLooked = true
            elect(.read(id: id, state))
        } catch {
            complain("the lease cannot be read: \(error.description)")
            elect(.failed(id: id))
        }
    }

    private func writeLease(_ id: UInt64, _ record: LeaseRecord, _ replacing: LeaseVersion?) async {
        do throws(StoreError) {
            guard let version = try await stores.lease.writeLease(record, replacing: replacing) else {
                return elect(.conflict(id: id))
            }
            leaseVersion = version
            leaseSeen = SystemClock.now()
            elect(.wrote(id: id, version))
        } catch {
            complain("the lease cannot be written: \(error.description)")
            elect(.failed(id: id))
        }
    }

    /// Looks at the lease as soon as it changes: a leader that gives it back is replaced at once.
    func watchLease() async {
        while !Task.isCancelled {
            let isNews = await stores.lease.waitForLeaseChange(since: leaseVersion, milliseconds: 1_000)
            guard isNews, !Task.isCancelled else { continue }
            // A leader learns of it with its next renewal, and sees its own renewals here.
            if term == nil { elect(.changed) }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    private func follow(_ leader: LeaderElection.Leader?) {
        followed = leader
        leaderSince = SystemClock.now()
        answerWaiting()
        guard let leader else { return log.notice("nobody leads") }
        log.notice(
            "following \(leader.identity)", metadata: ["term": "\(leader.term)", "address": "\(leader.address)"])
    }

    // MARK: A term's beginning and end

    private func begin(_ number: UInt64) {
        let now = SystemClock.now()
        let term = LedTerm(number: number, holder: settings.identity, began: now)
        self.term = term
        followed = nil
        leaderSince = now
        metrics.leads()
        log.notice("this coordinator leads", metadata: ["term": "\(number)"])
        term.adopt { await self.takeOver(term) }
    }

    /// Reads what is settled, then leads.
    private func takeOver(_ term: LedTerm) async {
        while isCurrent(term) {
            do throws(StoreError) {
                let settled = try await stores.status.takeOver(
                    fence: term.fence, targets: settings.targets.map(\.name))
                return lead(term, settled)
            } catch {
                refused("what is settled cannot be read", error, term)
            }
            try? await Task.sleep(for: .milliseconds(settings.beatMilliseconds))
        }
    }

    private func lead(_ term: LedTerm, _ settled: SettledSources) {
        let now = SystemClock.now()
        guard isCurrent(term), let until = election.leading(now: now)?.until else { return }
        let membership = Membership.Settings(
            leader: settings.name, term: term.number, versions: settings.release.versions,
            shardCount: settings.shardCount, targets: settings.targets.map(\.name), timing: settings.timing)
        var leading = CoordinatorCore.Settings(
            membership: membership, isFirstTerm: term.number == 1, cluster: settings.cluster, gate: settings.gate,
            bounds: settings.bounds, resignations: lonelyTerms)
        leading.quietSince = election.quietSince
        leading.forgetsSources = stores.status.manner.forgetsSources
        core = CoordinatorCore(leading, index: settled.index, leadUntil: until, now: now)
        log.info(
            "what was settled before is known; workers are taken",
            metadata: ["term": "\(term.number)", "milliseconds": "\(now.milliseconds(since: term.began))"])
        write(settled.untold.map { .finished(source: $0) }, writes.through)
        let source = stores.results(settled)
        term.adopt { await self.feed(term, source) }
        for session in sessions.values.sorted(by: { $0.id < $1.id }) where !session.isEnding {
            handle(.connected(session.id, name: session.connection.peer.identity?.name))
            if let hello = session.takeHello() { received(session, hello) }
        }
        waiting = [:]
    }

    /// Throws away everything of the term.
    func endTerm(_ why: String) {
        guard let term else { return }
        self.term = nil
        if let core { lonelyTerms = core.hadWorker ? 0 : lonelyTerms + 1 }
        core = nil
        finishedSources = []
        roomAwaited = nil
        backlog = []
        inputs = SourceInputs(begun: 0, waiting: 0)
        readFailure = ""
        writes = WriteQueue()
        retryAt = Tick(nanoseconds: 0)
        known = [:]
        term.end()
        leaderSince = SystemClock.now()
        let fault =
            isStopping
            ? Self.goodbye : PeerFault(code: .staleTerm, message: "term \(term.number) is over: \(why)")
        for session in sessions.values { session.finish(.error(fault)) }
    }

    func isCurrent(_ term: LedTerm) -> Bool { self.term === term }

    /// A store did not do what it was asked for in the name of `term`.
    func refused(_ what: String, _ error: StoreError, _ term: LedTerm) {
        complain("\(what): \(error.description)")
        guard isCurrent(term) else { return }
        switch error.kind {
        // The lease tells whether this is the end of the term.
        case .fenced: elect(.changed)
        case .superseded(let later): elect(.heard(term: later))
        case .busy, .late, .full, .unusable: break
        }
    }

    /// Logs a trouble once a minute, however often it comes and whatever others come in between.
    func complain(_ text: String) {
        guard complaints.isNew(text, now: SystemClock.now()) else { return }
        log.warning("\(text)")
    }
}
