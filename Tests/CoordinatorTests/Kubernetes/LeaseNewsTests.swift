import ExportCore
import Testing

@testable import Coordinator

@Suite struct LeaseNewsTests {
    private func version(_ number: Int) -> LeaseVersion { LeaseVersion("\(number)") }

    @Test func onlyWhatIsLaterThanWhatWasSeenIsNews() {
        var news = LeaseNews()
        #expect(!news.isNews(since: nil) && !news.isNews(since: version(1)))
        news.restarted()
        news.shown(revision: 10, isDeleted: false)
        #expect(news.isNews(since: nil) && news.isNews(since: version(9)))
        // A watch that is behind of our own write.
        #expect(!news.isNews(since: version(10)) && !news.isNews(since: version(11)))
        news.shown(revision: 12, isDeleted: false)
        #expect(news.isNews(since: version(11)))
        news.shown(revision: 9, isDeleted: true)
        #expect(!news.isNews(since: version(12)), "an old state after a newer one")
        #expect(!news.isNews(since: LeaseVersion("word")))
    }

    @Test func aLeaseThatIsGoneIsNews() {
        var news = LeaseNews()
        news.shown(revision: 10, isDeleted: false)
        news.shown(revision: 11, isDeleted: true)
        #expect(news.isNews(since: version(10)) && !news.isNews(since: nil))
        // Deleted while nobody watched: the list does not show it.
        news = LeaseNews()
        news.shown(revision: 10, isDeleted: false)
        news.restarted()
        #expect(!news.isNews(since: version(10)))
        news.listed(revision: 15)
        #expect(news.isNews(since: version(10)) && !news.isNews(since: nil))
        // It is made while the list is under way.
        news.restarted()
        news.shown(revision: 20, isDeleted: false)
        news.listed(revision: 18)
        #expect(news.isNews(since: nil))
    }
}
