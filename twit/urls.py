"""Which address leads where."""

from django.contrib import admin
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from timelines.views import HomeTimelineViewSet
from tweets.views import TweetViewSet
from twit import errors

router = SimpleRouter(trailing_slash=False)
router.register("tweets/followed", HomeTimelineViewSet, basename="home-timeline")
router.register("tweets", TweetViewSet, basename="tweet")

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include(router.urls)),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
