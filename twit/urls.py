"""Which address leads where; errors outside of DRF's views are JSON too."""

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from timelines.views import HomeTimelineViewSet
from tweets.views import TweetViewSet

router = SimpleRouter(trailing_slash=False)
router.register("tweets/followed", HomeTimelineViewSet, basename="home-timeline")
router.register("tweets", TweetViewSet, basename="tweet")

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include(router.urls)),
]


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """400 as JSON."""
    return JsonResponse({"detail": "Bad request."}, status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> JsonResponse:
    """403 as JSON."""
    return JsonResponse({"detail": "Permission denied."}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """404 as JSON."""
    return JsonResponse({"detail": f"There is nothing at {request.path}."}, status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    """500 as JSON."""
    return JsonResponse({"detail": "Internal server error."}, status=500)


handler400 = bad_request
handler403 = permission_denied
handler404 = not_found
handler500 = server_error
