"""Which view serves which path."""

from django.contrib import admin
from django.contrib.auth import views as sessions
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from api import errors, health
from api.fields import PATH_ID
from api.root import RootView
from timelines.admin import explain_timeline, state
from timelines.health import READINESS
from timelines.views import DeliveryViewSet, HomeTimelineViewSet
from tweets.views import TweetViewSet
from users import logins, me, sign_in
from users.tokens import KEY_PATTERN
from users.views import UserViewSet

router = SimpleRouter(trailing_slash=False)
router.register("tweets/followed", HomeTimelineViewSet, basename="home-timeline")
router.register("tweets", DeliveryViewSet, basename="delivery")
router.register("tweets", TweetViewSet, basename="tweet")
router.register("users", UserViewSet, basename="user")

admin.site.login_form = logins.LimitedAdminForm
admin.site.site_header = admin.site.site_title = "Twit"
admin.site.index_title = "Status"
admin.site.index_template = "admin/start.html"
session_login = sessions.LoginView.as_view(
    template_name="rest_framework/login.html", authentication_form=logins.LimitedForm
)
# The browsable API looks up its links by these names.
session_urls = [
    path("login", session_login, name="login"),
    path("logout", sessions.LogoutView.as_view(), name="logout"),
]

urlpatterns = [
    path("", RootView.as_view(template_name="timelines/page.html")),
    path("", include(router.urls)),
    path("me", me.MeView.as_view()),
    path("me/password", me.PasswordView.as_view()),
    path("me/tokens", me.TokensView.as_view()),
    re_path(rf"^me/tokens/(?P<token_id>{KEY_PATTERN})$", me.TokenView.as_view()),
    path("auth/login", sign_in.LoginView.as_view()),
    path("auth/logout", sign_in.LogoutView.as_view()),
    path("auth/logoutall", sign_in.LogoutAllView.as_view()),
    path("auth/session/", include((session_urls, "rest_framework"))),
    path("livez", health.LiveView.as_view()),
    path("readyz", health.ReadyView.as_view(checks=READINESS)),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view()),
    re_path(
        rf"^admin/users/user/(?P<user_id>{PATH_ID})/timeline/$",
        admin.site.admin_view(explain_timeline),
        name="explain_timeline",
    ),
    path("admin/state/", admin.site.admin_view(state), name="state"),
    path("admin/", admin.site.urls),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
