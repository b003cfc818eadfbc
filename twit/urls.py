"""Which view serves which path."""

from django.contrib import admin
from django.contrib.auth import views as sessions
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from api import errors
from api.root import RootView
from timelines.views import HomeTimelineViewSet
from tweets.views import TweetViewSet
from users import logins, sign_in

router = SimpleRouter(trailing_slash=False)
router.register("tweets/followed", HomeTimelineViewSet, basename="home-timeline")
router.register("tweets", TweetViewSet, basename="tweet")

admin.site.login_form = logins.LimitedAdminForm
session_login = sessions.LoginView.as_view(
    template_name="rest_framework/login.html", authentication_form=logins.LimitedForm
)
# The browsable API looks up its links by these names.
session_urls = [
    path("login", session_login, name="login"),
    path("logout", sessions.LogoutView.as_view(), name="logout"),
]

urlpatterns = [
    path("", RootView.as_view()),
    path("", include(router.urls)),
    path("auth/login", sign_in.LoginView.as_view()),
    path("auth/logout", sign_in.LogoutView.as_view()),
    path("auth/logoutall", sign_in.LogoutAllView.as_view()),
    path("auth/session/", include((session_urls, "rest_framework"))),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view()),
    path("admin/", admin.site.urls),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
