import CCurl
import Glibc
import Model
import Threading

/// The thread that drives libcurl: fetches work, moves transfers, answers callers.
///
/// It counts connections itself instead of by CURLMOPT_MAX_HOST_CONNECTIONS: a transfer that waits inside libcurl
/// uses up its time for connecting, one that waits here only its total time.
final class TransferLoop {
    private let multi: MultiHandle
    private let mailbox: Mailbox
    private let maxConnections: Int
    private let maxConnectionsPerHost: Int
    private let approvedOnly: Bool
    private var active: [UInt: Transfer] = [:]
    private var activePerHost: [String: Int] = [:]
    private var waiting: [Submission] = []
    private var idle: [EasyHandle] = []
    private var files = PEMFiles()
    private var nextSweep = Tick(nanoseconds: 0)
    /// Something came or ended, so that a waiting request may have its turn.
    private var mayAdmit = false

    private static let sweepMilliseconds: UInt64 = 250
    /// The same where nothing can have waited too long before that: all that is under way are streams that flow.
    private static let longSweepMilliseconds: UInt64 = 5_000
    /// libcurl keeps the total time itself; this is for the case that it does not come to it.
    private static let backstopMilliseconds: UInt64 = 2_000

    init(
        multi: MultiHandle, mailbox: Mailbox, maxConnections: Int, maxConnectionsPerHost: Int, approvedOnly: Bool
    ) {
        self.approvedOnly = approvedOnly
        self.multi = multi
        self.mailbox = mailbox
        self.maxConnections = maxConnections
        self.maxConnectionsPerHost = maxConnectionsPerHost
    }

    /// Returns when the mailbox says stop; every request has been answered by then, every connection is closed.
    func run() {
        while true {
            let delivery = mailbox.take()
            waiting += delivery.submissions
            mayAdmit = mayAdmit || !delivery.submissions.isEmpty
            for id in delivery.cancellations { cancel(id) }
            for id in delivery.resumptions { resume(id) }
            if delivery.stop { break }
            admit()
            let healthy = multi.perform() == CURLM_OK
            while let (key, code) = multi.nextDone() {
                if let transfer = active[key] { finish(transfer, transfer.outcome(code)) }
            }
            sweep(now: SystemClock.now())
            // Connections have become free: start on them before sleeping.
            if mayAdmit, !waiting.isEmpty { continue }
            if multi.poll(milliseconds: pollMilliseconds()) != CURLM_OK || !healthy {
                // Out of memory or descriptors, most likely: neither give up nor spin.
                usleep(10_000)
            }
        }
        failEverything()
        idle.removeAll()
        multi.close()
        mailbox.end()
    }

    private func pollMilliseconds() -> Int32 {
        guard !active.isEmpty || !waiting.isEmpty else { return 60_000 }
        return Int32(min(nextSweep.milliseconds(since: SystemClock.now()) + 1, TransferLoop.longSweepMilliseconds))
    }

    /// Starts what there are connections for, oldest first; a host at its limit does not hold up the others.
    private func admit() {
        guard mayAdmit else { return }
        mayAdmit = false
        guard !waiting.isEmpty, active.count < maxConnections else { return }
        var kept: [Submission] = []
        for submission in waiting {
            let taken = activePerHost[submission.checked.authority, default: 0]
            if active.count < maxConnections, taken < maxConnectionsPerHost {
                start(submission)
            } else {
                kept.append(submission)
            }
        }
        waiting = kept
    }

    private func start(_ submission: Submission) {
        let remaining = submission.remaining(now: SystemClock.now())
        guard remaining > 0 else {
            answer(submission, .failure(submission.checked.waitedTooLong))
            return
        }
        let pem: PEMContents
        do throws(PEMFiles.Unreadable) {
            pem = try files.contents(submission.checked.request.tls)
        } catch {
            answer(submission, .failure(submission.checked.unreadable(error)))
            return
        }
        guard let easy = idle.popLast() ?? EasyHandle() else {
            answer(submission, .failure(submission.checked.cannotStart(CURLE_OUT_OF_MEMORY)))
            return
        }
        let transfer = Transfer(submission, easy: easy, pinned: pem.all)
        easy.configure(
            submission.checked, pem: pem, remaining: remaining, approvedOnly: approvedOnly,
            isStream: submission.stream != nil)
        easy.setCallbacks(transfer)
        guard easy.firstError == CURLE_OK, multi.add(easy) == CURLM_OK else {
            let code = easy.firstError == CURLE_OK ? CURLE_FAILED_INIT : easy.firstError
            answer(submission, .failure(submission.checked.cannotStart(code)))
            recycle(easy)
            return
        }
        active[easy.key] = transfer
        activePerHost[submission.checked.authority, default: 0] += 1
        sweepSoon()
    }

    private func sweepSoon() {
        nextSweep = min(nextSweep, SystemClock.now().adding(milliseconds: TransferLoop.sweepMilliseconds))
    }

    /// Takes the transfer out of libcurl, which then no longer touches its body, and answers.
    private func finish(_ transfer: Transfer, _ outcome: Result<HTTPResponse, HTTPFailure>) {
        multi.remove(transfer.easy)
        active[transfer.easy.key] = nil
        let authority = transfer.submission.checked.authority
        let left = activePerHost[authority, default: 1] - 1
        activePerHost[authority] = left > 0 ? left : nil
        mayAdmit = true
        recycle(transfer.easy)
        answer(transfer.submission, outcome)
    }

    private func recycle(_ easy: EasyHandle) {
        easy.reset()
        if idle.count < maxConnections { idle.append(easy) }
    }

    private func answer(_ submission: Submission, _ outcome: Result<HTTPResponse, HTTPFailure>) {
        mailbox.release()
        submission.end(outcome)
    }

    private func cancel(_ id: UInt64) {
        if let index = waiting.firstIndex(where: { $0.id == id }) {
            let submission = waiting.remove(at: index)
            answer(submission, .failure(submission.checked.notSent(.cancelled, "the task was cancelled")))
        } else if let transfer = active.values.first(where: { $0.submission.id == id }) {
            finish(
                transfer,
                .failure(transfer.submission.checked.givenUp(.cancelled, "the task was cancelled", transfer)))
        }
    }

    /// Has a paused stream go on. libcurl hands over what it kept from within the call.
    private func resume(_ id: UInt64) {
        guard let transfer = active.values.first(where: { $0.submission.id == id }) else { return }
        transfer.resumed(now: SystemClock.now())
        sweepSoon()
        let code = transfer.easy.unpause()
        if code != CURLE_OK { finish(transfer, transfer.outcome(code)) }
    }

    /// Ends what has waited too long by the bounds that libcurl does not know.
    private func sweep(now: Tick) {
        guard now >= nextSweep, !active.isEmpty || !waiting.isEmpty else { return }
        nextSweep = now.adding(milliseconds: TransferLoop.longSweepMilliseconds)
        for transfer in Array(active.values) {
            let timeouts = transfer.request.timeouts
            let end = transfer.submission.submittedAt.adding(milliseconds: timeouts.total)
                .adding(milliseconds: TransferLoop.backstopMilliseconds)
            if transfer.isSilent(now: now) {
                finish(transfer, .failure(transfer.submission.checked.silent(transfer)))
            } else if let silence = transfer.stall(now: now) {
                finish(
                    transfer, .failure(transfer.submission.checked.stalled(transfer, milliseconds: silence)))
            } else if now >= end {
                finish(transfer, transfer.outcome(CURLE_OPERATION_TIMEDOUT))
            } else if let due = transfer.stallsAt {
                nextSweep = min(nextSweep, due, end)
            } else {
                sweepSoon()
                if transfer.attempts > 0, !transfer.answered {
                    nextSweep = min(nextSweep, transfer.progressAt.adding(milliseconds: max(1, timeouts.firstByte)))
                }
            }
        }
        var kept: [Submission] = []
        for submission in waiting {
            let remaining = submission.remaining(now: now)
            if remaining == 0 {
                answer(submission, .failure(submission.checked.waitedTooLong))
            } else {
                nextSweep = min(nextSweep, now.adding(milliseconds: remaining))
                kept.append(submission)
            }
        }
        waiting = kept
    }

    private func failEverything() {
        for transfer in Array(active.values) {
            finish(
                transfer, .failure(transfer.submission.checked.givenUp(.shutDown, "the client was shut down", transfer))
            )
        }
        for submission in waiting {
            answer(submission, .failure(submission.checked.notSent(.shutDown, "the client was shut down")))
        }
        waiting = []
    }
}
