import Model
import Protocol

extension Membership {
    /// Longest identity, bytes: that of a DNS name (RFC 1035, section 2.3.4).
    static let maxIdentityBytes = 253

    /// How far ahead of ours a term may be that a worker has heard of. Each term takes a write of the store and a lease, so
    /// more is a mistake or malice, and would use up the numbers.
    static let maxTermLead: UInt64 = 1 << 20

    /// Takes a worker in, or says why not.
    mutating func greet(_ session: SessionID, _ hello: Hello, _ now: Tick) -> [Effect] {
        if workers[session] != nil {
            let fault = PeerFault(code: .unexpected, message: "a second hello in one session; open a new connection")
            return [.close(session, fault)] + part(session)
        }
        guard let stranger = strangers.removeValue(forKey: session) else { return [] }
        let low = max(hello.versions.lowerBound, settings.versions.lowerBound)
        let version = min(hello.versions.upperBound, settings.versions.upperBound)
        if let fault = objection(hello, name: stranger.name, hasCommonVersion: low <= version) {
            let refused = refuse(session, fault.code, fault.message)
            let isLater = fault.code == .staleTerm && hello.term - settings.term <= Self.maxTermLead
            return isLater ? refused + [.told(term: hello.term)] : refused
        }
        let worker: WorkerID
        var effects: [Effect] = []
        if let place = members.firstIndex(where: { $0.identity == hello.identity }) {
            let member = members[place]
            if let fault = conflict(of: hello, with: member) { return refuse(session, fault.code, fault.message) }
            worker = member.id
            if let old = member.session {
                let fault = PeerFault(code: .identity, message: "the worker has opened a newer connection")
                effects = [.close(old, fault)] + part(old)
            }
            members[place] = self.member(worker, hello, session, now)
        } else {
            guard members.count < settings.maxWorkers else {
                let most = settings.maxWorkers
                return refuse(session, .overloaded, "there are \(most) workers already, the most that are allowed")
            }
            worker = WorkerID(nextNumber)
            nextNumber += 1
            places[worker] = members.count
            members.append(self.member(worker, hello, session, now))
        }
        workers[session] = worker
        return effects + [.welcome(session, welcome(version)), .joined(worker, session)]
    }

    private func member(_ worker: WorkerID, _ hello: Hello, _ session: SessionID, _ now: Tick) -> Member {
        Member(
            id: worker, identity: hello.identity, boot: hello.boot, capacity: max(1, hello.capacity), session: session,
            lastHeard: now, welcomed: now, lastNumber: 0, isDraining: false, isExpelled: false)
    }

    private func welcome(_ version: UInt8) -> Welcome {
        Welcome(
            version: version, term: settings.term, leader: settings.leader,
            leaseMilliseconds: UInt32(clamping: settings.timing.workerLeaseMilliseconds),
            shardCount: UInt16(clamping: settings.shardCount),
            releaseMilliseconds: UInt32(clamping: settings.timing.releaseMilliseconds), targets: settings.targets,
            marginMilliseconds: UInt32(clamping: settings.timing.marginMilliseconds))
    }

    /// What is wrong with a hello by itself.
    private func objection(_ hello: Hello, name: String?, hasCommonVersion: Bool) -> PeerFault? {
        if !hasCommonVersion {
            let (theirs, ours) = (hello.versions, settings.versions)
            return PeerFault(
                code: .version,
                message: "the worker speaks versions \(theirs.lowerBound) to \(theirs.upperBound) of the protocol, the "
                    + "leader \(ours.lowerBound) to \(ours.upperBound); bring both to releases that have one in common")
        }
        if hello.identity.isEmpty || hello.identity.utf8.count > Self.maxIdentityBytes {
            return PeerFault(
                code: .identity, message: "the worker's name must have 1 to \(Self.maxIdentityBytes) bytes")
        }
        if let name, name != hello.identity {
            return PeerFault(
                code: .identity,
                message: "the worker calls itself \(hello.identity), but its certificate says \(name); "
                    + "give it the name of its certificate, or a certificate of its name")
        }
        if hello.term > settings.term {
            return PeerFault(
                code: .staleTerm,
                message:
                    "the worker has heard of term \(hello.term), this leader's is \(settings.term): another leads, "
                    + "or the cluster's store was emptied and the worker has to start anew")
        }
        let missing = settings.targets.filter { !hello.targets.contains($0) }
        if !missing.isEmpty {
            return PeerFault(
                code: .targets,
                message: "the worker does not know the targets \(missing.prefix(8).joined(separator: ", ")); "
                    + "give it the leader's configuration")
        }
        if hello.claims.count > settings.shardCount {
            return PeerFault(
                code: .malformed,
                message: "the worker claims \(hello.claims.count) shards, there are \(settings.shardCount)")
        }
        return nil
    }

    /// What is wrong with a hello in view of the worker that is known under its name.
    private func conflict(of hello: Hello, with member: Member) -> PeerFault? {
        if member.boot == hello.boot {
            guard member.isExpelled else { return nil }
            return PeerFault(
                code: .unexpected,
                message: "the worker was told to go; it has to start anew, or wait until its lease and the margin of "
                    + "\(settings.timing.marginMilliseconds) ms are over")
        }
        guard member.session != nil else { return nil }
        return PeerFault(
            code: .identity,
            message: "another process is connected as \(hello.identity); give each worker a name of its own, or end it")
    }
}
