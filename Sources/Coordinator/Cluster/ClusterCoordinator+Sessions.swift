import ExportCore
import Logging
import Model
import PeerTransport
import Protocol
import Threading

/// Workers come, speak and go.
extension ClusterCoordinator {
    func accept(_ connection: PeerConnection) {
        guard !isStopping else { return connection.abort() }
        lastSession += 1
        let session = PeerSession(
            id: SessionID(lastSession), connection: connection, release: settings.release)
        sessions[session.id] = session
        handle(.connected(session.id, name: connection.peer.identity?.name))
        Task {
            await session.run { message in await self.received(session, message) }
            self.ended(session)
        }
    }

    /// Takes what a worker said.
    func received(_ session: PeerSession, _ message: Message) {
        guard !session.isEnding, sessions[session.id] === session else { return }
        if core != nil { return handle(.received(session.id, bounded(message))) }
        guard case .hello = message else {
            let fault = PeerFault(
                code: .unexpected, message: "\(message.name) before hello; dial again and introduce yourself")
            return refuse(session, fault)
        }
        let now = SystemClock.now()
        // While the new leader reads what is settled, whoever comes waits for it.
        if term != nil || election.isLeaderInDoubt(now: now) {
            waiting[session.id] = now.adding(milliseconds: Self.mostWaitMilliseconds)
            hurry()
            return session.keep(hello: message)
        }
        session.finish(.notLeader(notLeader))
    }

    /// How long a worker waits for who leads before it is told what is known, milliseconds. Workers ask elsewhere after 3 s
    /// (`SessionLease.Settings.helloMilliseconds`).
    private static let mostWaitMilliseconds: UInt64 = 2_000

    /// Tells those that wait who leads, if that is known now, and those that have waited long enough in any case.
    func answerWaiting() {
        guard term == nil, !waiting.isEmpty else { return }
        let now = SystemClock.now()
        let isKnown = !election.isLeaderInDoubt(now: now)
        for (id, end) in waiting where isKnown || end <= now {
            waiting[id] = nil
            guard let session = sessions[id], !session.isEnding, session.takeHello() != nil else { continue }
            session.finish(.notLeader(notLeader))
        }
    }

    private var notLeader: NotLeader {
        let other = otherLeader(SystemClock.now())
        return NotLeader(
            term: election.highestKnownTerm, leader: other?.identity ?? "", address: other?.address ?? "")
    }

    /// No worker is sent more than the leader has in hand, whatever it would take.
    private func bounded(_ message: Message) -> Message {
        guard case .hello(var hello) = message else { return message }
        hello.windowBytes = min(hello.windowBytes, UInt64(settings.bounds.windowBytes))
        return .hello(hello)
    }

    private func ended(_ session: PeerSession) {
        sessions[session.id] = nil
        waiting[session.id] = nil
        let why = session.reason ?? "the connection ended"
        if let worker = core?.membership.worker(of: session.id) {
            known[worker]?.reason = why
        } else if let trouble = session.trouble {
            tellRefusal(of: session, trouble.kind, trouble.cause)
        }
        handle(.closed(session.id))
        tellChanges()
    }

    /// Closes all sessions, and waits for that a short while.
    func endSessions() async {
        for session in sessions.values { session.finish(.error(Self.goodbye)) }
        let deadline = SystemClock.now().adding(milliseconds: 1_000)
        while !sessions.isEmpty, SystemClock.now() < deadline { try? await Task.sleep(for: .milliseconds(10)) }
        for session in sessions.values { session.abort("this coordinator ended") }
    }

    // MARK: What people are told of workers

    /// Logs what has changed since the last time: who joined, left, was lost or is dead, and why.
    func tellChanges() {
        guard let core, let term else { return }
        var gone = known
        for member in core.membership.members {
            let before = known[member.id]
            gone[member.id] = nil
            let about: Logger.Metadata = ["worker": "\(member.identity)", "term": "\(term.number)"]
            var word = KnownWorker(member)
            word.reason = before?.reason ?? ""
            if before?.session != member.session {
                if let id = member.session, let session = sessions[id] {
                    metrics.saw(before == nil ? .joined : .back)
                    log.notice(
                        before == nil ? "worker joined" : "worker came back",
                        metadata: about.merging(["address": "\(session.connection.peer.address)"]) { $1 })
                } else if before?.session != nil {
                    let why = word.reason.isEmpty ? Self.silent : word.reason
                    metrics.saw(.lost)
                    log.warning("worker lost", metadata: about.merging(["cause": "\(why)"]) { $1 })
                }
            }
            if member.isDraining, before?.isDraining != true {
                metrics.saw(.drain)
                log.notice("worker drains: its shards go to others", metadata: about)
            }
            known[member.id] = word
        }
        for (worker, word) in gone {
            known[worker] = nil
            let why = word.reason.isEmpty ? Self.silent : word.reason
            metrics.saw(.dead)
            log.warning(
                "worker dead: its shards go to others",
                metadata: ["worker": "\(word.identity)", "term": "\(term.number)", "cause": "\(why)"])
        }
    }

    private static let silent = "nothing was heard from it for its lease"
}

/// A worker as people were told of it.
struct KnownWorker: Sendable {
    var identity: String
    var session: SessionID?
    var isDraining: Bool
    /// Why it was lost.
    var reason = ""

    init(_ member: Membership.Member) {
        identity = member.identity
        session = member.session
        isDraining = member.isDraining
    }
}
